//! A tree of cancel tokens: cancelling one cancels everything below it that is not shielded.
//!
//! A token is level-triggered: once cancelled it stays so, and whoever asks, asks as often as it
//! likes. Whether a token is cancelled, by itself or from above, is one load; the tree is walked
//! only when something is cancelled. A parent knows its children weakly, a child its parent
//! strongly.
//!
//! Three races decide the design. A child that is made while its parent is being cancelled either is
//! in the parent's list before the parent's lock is taken to read it, or is made with the flag that
//! was set under that lock. A shield that is lifted while the parent is being cancelled is either
//! lifted before the canceller asks the child, under the child's lock, or the lifting thread then
//! sees the parent's flag. A shield that is raised takes a cancellation from above back, in all that
//! is below it; whoever spreads one asks under the node's lock whether its parent is cancelled still,
//! and whoever takes one back asks after that whether it is so again. The loom models at the end
//! explore all three.

mod callback;

pub use callback::{Callback, Functions};

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex};
use std::num::NonZeroU32;
use std::sync::Weak;

/// What is called, once, when a token is cancelled.
///
/// It is called on the cancelling thread, without any lock of the tree held.
pub trait OnCancel: Send + Sync {
    fn cancelled(&self);
}

type Link = std::sync::Arc<Node>;

struct Inner {
    /// This very token was cancelled, not only one above it.
    asked: bool,
    shielded: bool,
    reason: Option<Arc<str>>,
    /// When somebody will cancel it, on whatever clock; `u64::MAX` for never.
    deadline: u64,
    callbacks: Slots<Callback>,
    children: Slots<Weak<Node>>,
}

impl Inner {
    fn new(shielded: bool) -> Self {
        Inner {
            asked: false,
            shielded,
            reason: None,
            deadline: u64::MAX,
            callbacks: Slots::default(),
            children: Slots::default(),
        }
    }

    fn children(&self) -> Vec<Link> {
        let values = self.children.values.iter().flatten();
        values.filter_map(Weak::upgrade).collect()
    }

    /// Whether a cancellation is right for the node: its own, or one from above without a shield.
    fn is_reached(&self, node: &Node) -> bool {
        let above = || (node.parent.as_ref()).is_some_and(|(parent, _)| parent.is_cancelled());
        self.asked || (!self.shielded && above())
    }
}

impl Node {
    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }
}

struct Node {
    cancelled: AtomicBool,
    inner: Mutex<Inner>,
    /// The parent and this node's place in its list.
    parent: Option<(Link, Mutex<Option<u32>>)>,
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some((parent, place)) = &self.parent
            && let Some(place) = place.lock().take()
        {
            parent.inner.lock().children.remove(place);
        }
    }
}

/// A token: a cheap handle, cloned freely.
#[derive(Clone)]
pub struct Token(Link);

/// A callback's registration, to be removed by: one more than its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration(NonZeroU32);

impl Default for Token {
    fn default() -> Self {
        Self::new()
    }
}

impl Token {
    /// A token with nothing above it.
    pub fn new() -> Self {
        Token(std::sync::Arc::new(Node {
            cancelled: AtomicBool::new(false),
            inner: Mutex::new(Inner::new(false)),
            parent: None,
        }))
    }

    /// A token below this one. A shielded one is not cancelled with it until the shield is lifted.
    pub fn child(&self, shielded: bool) -> Self {
        let mut above = self.0.inner.lock();
        let cancelled = !shielded && self.0.cancelled.load(Ordering::Relaxed);
        let mut inner = Inner::new(shielded);
        if cancelled {
            inner.reason.clone_from(&above.reason);
        }
        let child = std::sync::Arc::new(Node {
            cancelled: AtomicBool::new(cancelled),
            inner: Mutex::new(inner),
            parent: Some((std::sync::Arc::clone(&self.0), Mutex::new(None))),
        });
        let place = above.children.insert(std::sync::Arc::downgrade(&child));
        drop(above);
        if let Some((_, own)) = &child.parent {
            *own.lock() = Some(place);
        }
        Token(child)
    }

    /// Whether this token, or an unshielded way above it, is cancelled.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Whether `cancel` was called on this very token.
    pub fn was_asked(&self) -> bool {
        self.0.inner.lock().asked
    }

    /// Why, if whoever cancelled said so.
    pub fn reason(&self) -> Option<Arc<str>> {
        self.0.inner.lock().reason.clone()
    }

    pub fn is_shielded(&self) -> bool {
        self.0.inner.lock().shielded
    }

    /// The token that this one is below.
    pub fn parent(&self) -> Option<Token> {
        let (parent, _) = self.0.parent.as_ref()?;
        Some(Token(std::sync::Arc::clone(parent)))
    }

    pub fn is_same(&self, other: &Token) -> bool {
        std::sync::Arc::ptr_eq(&self.0, &other.0)
    }

    /// Raises or lifts the shield. Lifting it below a cancelled token cancels this one; raising it
    /// takes that back, here and below, but not what was told to those who waited.
    pub fn set_shielded(&self, shielded: bool) {
        self.0.inner.lock().shielded = shielded;
        if shielded {
            take_back(&self.0);
            return;
        }
        if let Some((parent, _)) = &self.0.parent
            && parent.is_cancelled()
        {
            let reason = parent.inner.lock().reason.clone();
            spread(&self.0, reason);
        }
    }

    /// Cancels this token and everything below it. False if this very token had been cancelled.
    pub fn cancel(&self, reason: Option<Arc<str>>) -> bool {
        let mut inner = self.0.inner.lock();
        if inner.asked {
            return false;
        }
        inner.asked = true;
        drop(inner);
        spread(&self.0, reason);
        true
    }

    /// Notes when somebody will cancel this token; `u64::MAX` for never.
    pub fn note_deadline(&self, at: u64) {
        self.0.inner.lock().deadline = at;
    }

    /// The earliest deadline that was noted for this token or above it, up to the first shield;
    /// 0 if it is cancelled already.
    pub fn earliest_deadline(&self) -> u64 {
        if self.is_cancelled() {
            return 0;
        }
        let mut earliest = u64::MAX;
        let mut next = Some(self);
        let mut above;
        while let Some(token) = next {
            let inner = token.0.inner.lock();
            earliest = earliest.min(inner.deadline);
            if inner.shielded {
                break;
            }
            drop(inner);
            above = token.parent();
            next = above.as_ref();
        }
        earliest
    }

    /// Has `callback` called when this token is cancelled. None, and nothing registered, if it is
    /// cancelled already.
    pub fn on_cancel(&self, callback: impl Into<Callback>) -> Option<Registration> {
        let callback = callback.into();
        let mut inner = self.0.inner.lock();
        if self.0.cancelled.load(Ordering::Relaxed) {
            return None;
        }
        let place = inner.callbacks.insert(callback);
        Some(Registration(NonZeroU32::MIN.saturating_add(place)))
    }

    /// Whether a callback has not been called yet, nor is about to be.
    pub fn awaits(&self, registration: Registration) -> bool {
        let inner = self.0.inner.lock();
        inner.callbacks.get(registration.0.get() - 1).is_some()
    }

    /// Takes a callback back. False if it has been called, or is about to be.
    pub fn forget(&self, registration: Registration) -> bool {
        let gone = self
            .0
            .inner
            .lock()
            .callbacks
            .remove(registration.0.get() - 1);
        gone.is_some()
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// Marks a node and all below it, without recursion: a tree may be deep.
fn spread(root: &Link, reason: Option<Arc<str>>) {
    let mut todo = vec![std::sync::Arc::clone(root)];
    while let Some(node) = todo.pop() {
        let mut inner = node.inner.lock();
        if node.cancelled.load(Ordering::Relaxed) || !inner.is_reached(&node) {
            continue;
        }
        node.cancelled.store(true, Ordering::Release);
        inner.reason.clone_from(&reason);
        let callbacks = inner.callbacks.take();
        let children = inner.children();
        drop(inner);
        for callback in callbacks.into_iter().flatten() {
            callback.cancelled();
        }
        todo.extend(children);
    }
}

/// Takes a cancellation from above a shield back: clears the marks that it has left below.
fn take_back(root: &Link) {
    let mut todo = vec![std::sync::Arc::clone(root)];
    while let Some(node) = todo.pop() {
        let mut inner = node.inner.lock();
        if !node.cancelled.load(Ordering::Relaxed) || inner.is_reached(&node) {
            continue;
        }
        node.cancelled.store(false, Ordering::Release);
        inner.reason = None;
        todo.extend(inner.children());
    }
}

/// A vector with reusable places.
struct Slots<T> {
    /// The first place; those before it were taken away with all that stood there, and are not used
    /// again, as who put it there may still ask for it.
    first: u32,
    values: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots {
            first: 0,
            values: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slots<T> {
    fn insert(&mut self, value: T) -> u32 {
        let index = if let Some(index) = self.free.pop() {
            self.values[index as usize] = Some(value);
            index
        } else {
            self.values.push(Some(value));
            self.values.len() as u32 - 1
        };
        self.first + index
    }

    fn get(&self, place: u32) -> Option<&T> {
        let index = place.checked_sub(self.first)?;
        self.values.get(index as usize)?.as_ref()
    }

    fn remove(&mut self, place: u32) -> Option<T> {
        let index = place.checked_sub(self.first)?;
        let value = self.values.get_mut(index as usize)?.take();
        if value.is_some() {
            self.free.push(index);
        }
        value
    }

    /// All that stands here.
    fn take(&mut self) -> Vec<Option<T>> {
        self.first += self.values.len() as u32;
        self.free.clear();
        std::mem::take(&mut self.values)
    }
}

#[cfg(test)]
mod tests;

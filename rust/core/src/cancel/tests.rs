use super::*;
use crate::sync::atomic::AtomicUsize;
use crate::sync::thread;

#[derive(Default)]
struct Calls(AtomicUsize);

impl OnCancel for Calls {
    fn cancelled(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn model(f: impl Fn() + Send + Sync + 'static) {
    #[cfg(loom)]
    loom::model(f);
    #[cfg(not(loom))]
    f();
}

#[cfg(not(loom))]
mod behaviour {
    use super::*;

    #[test]
    fn cancelling_reaches_all_below_but_not_through_a_shield() {
        let root = Token::new();
        let (child, shielded) = (root.child(false), root.child(true));
        let below = (child.child(false), shielded.child(false));
        assert!(root.cancel(Some("because".into())));
        assert!(child.is_cancelled() && below.0.is_cancelled());
        assert!(!shielded.is_cancelled() && !below.1.is_cancelled());
        assert_eq!(below.0.reason().as_deref(), Some("because"));
        shielded.set_shielded(false);
        assert!(shielded.is_cancelled() && below.1.is_cancelled());
    }

    #[test]
    fn a_shield_raised_late_takes_a_cancellation_from_above_back() {
        let root = Token::new();
        let child = root.child(false);
        let (below, asked) = (child.child(false), child.child(false));
        let under = asked.child(false);
        root.cancel(Some("because".into()));
        asked.cancel(None);
        child.set_shielded(true);
        assert!(!child.is_cancelled() && !below.is_cancelled() && below.reason().is_none());
        assert!(asked.is_cancelled() && under.is_cancelled());
        assert!(!child.child(false).is_cancelled());
        child.set_shielded(false);
        assert!(child.is_cancelled() && below.is_cancelled());
        child.set_shielded(true);
        child.cancel(None);
        assert!(child.is_cancelled() && below.is_cancelled());
    }

    #[test]
    fn the_earliest_deadline_counts_up_to_a_shield() {
        let root = Token::new();
        let middle = root.child(false);
        let inner = middle.child(false);
        assert_eq!(inner.earliest_deadline(), u64::MAX);
        root.note_deadline(5);
        inner.note_deadline(7);
        assert_eq!(inner.earliest_deadline(), 5);
        middle.set_shielded(true);
        assert_eq!(inner.earliest_deadline(), 7);
        inner.cancel(None);
        assert_eq!(inner.earliest_deadline(), 0);
    }

    #[test]
    fn cancelling_a_child_leaves_its_parent_alone() {
        let root = Token::new();
        let child = root.child(false);
        assert!(child.cancel(None) && !child.cancel(None));
        assert!(child.was_asked() && !root.is_cancelled());
    }

    #[test]
    fn a_callback_is_called_once_and_not_after_it_was_taken_back() {
        let (root, calls) = (Token::new(), std::sync::Arc::new(Calls::default()));
        let kept = root.on_cancel(calls.clone());
        let gone = root.on_cancel(calls.clone());
        assert!(gone.is_some_and(|gone| root.forget(gone)));
        root.cancel(None);
        root.cancel(None);
        assert_eq!(calls.0.load(Ordering::SeqCst), 1);
        assert!(!kept.is_some_and(|kept| root.forget(kept)));
        assert!(root.on_cancel(calls).is_none());
    }

    #[test]
    fn who_was_told_of_a_cancellation_that_was_taken_back_forgets_nobody_elses_callback() {
        let root = Token::new();
        let child = root.child(false);
        let calls = std::sync::Arc::new(Calls::default());
        let register = || child.on_cancel(std::sync::Arc::clone(&calls));
        let (told, _) = (register(), register());
        root.cancel(None);
        child.set_shielded(true);
        let anothers = register();
        let awaits = |at: Option<Registration>| at.is_some_and(|at| child.awaits(at));
        assert!(!awaits(told) && awaits(anothers));
        assert!(told.is_some_and(|told| !child.forget(told)));
        child.set_shielded(false);
        assert_eq!(calls.0.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn a_callback_that_was_called_or_taken_back_is_given_up() {
        let (root, calls) = (Token::new(), std::sync::Arc::new(Calls::default()));
        let gone = root.on_cancel(std::sync::Arc::clone(&calls));
        let _kept = root.on_cancel(std::sync::Arc::clone(&calls));
        assert_eq!(std::sync::Arc::strong_count(&calls), 3);
        assert!(gone.is_some_and(|gone| root.forget(gone)));
        assert_eq!(std::sync::Arc::strong_count(&calls), 2);
        root.cancel(None);
        assert_eq!(std::sync::Arc::strong_count(&calls), 1);
        assert!(root.on_cancel(std::sync::Arc::clone(&calls)).is_none());
        assert_eq!(std::sync::Arc::strong_count(&calls), 1);
    }

    #[test]
    fn children_that_are_gone_leave_nothing_behind() {
        let root = Token::new();
        for _ in 0..1_000 {
            drop(root.child(false));
        }
        assert_eq!(root.0.inner.lock().children.values.len(), 1);
    }

    #[test]
    fn a_deep_tree_is_cancelled_without_recursion() {
        let mut chain = vec![Token::new()];
        for k in 0..100_000 {
            let next = chain[k].child(false);
            chain.push(next);
        }
        chain[0].cancel(None);
        assert!(chain[100_000].is_cancelled());
        while chain.pop().is_some() {}
    }
}

#[test]
fn loom_model_a_child_made_while_its_parent_is_cancelled_is_cancelled() {
    model(|| {
        let root = Token::new();
        let other = {
            let root = root.clone();
            thread::spawn(move || root.cancel(None))
        };
        let child = root.child(false);
        assert!(other.join().is_ok());
        assert!(child.is_cancelled());
    });
}

#[test]
fn loom_model_a_shield_lifted_while_the_parent_is_cancelled_lets_it_through() {
    model(|| {
        let root = Token::new();
        let child = root.child(true);
        let other = {
            let root = root.clone();
            thread::spawn(move || root.cancel(None))
        };
        child.set_shielded(false);
        assert!(other.join().is_ok());
        assert!(child.is_cancelled());
    });
}

#[test]
fn loom_model_a_shield_raised_while_the_parent_is_cancelled_keeps_all_below_out() {
    model(|| {
        let root = Token::new();
        let child = root.child(false);
        let below = child.child(false);
        let other = {
            let root = root.clone();
            thread::spawn(move || root.cancel(None))
        };
        child.set_shielded(true);
        assert!(other.join().is_ok());
        assert!(!child.is_cancelled() && !below.is_cancelled());
    });
}

#[test]
fn loom_model_cancelling_below_a_shield_that_is_raised_lasts() {
    model(|| {
        let root = Token::new();
        let child = root.child(false);
        let below = child.child(false);
        root.cancel(None);
        let other = {
            let child = child.clone();
            thread::spawn(move || child.set_shielded(true))
        };
        below.cancel(None);
        assert!(other.join().is_ok());
        assert!(!child.is_cancelled() && below.is_cancelled());
    });
}

#[test]
fn loom_model_a_callback_is_called_once_or_was_refused() {
    model(|| {
        let (root, calls) = (Token::new(), std::sync::Arc::new(Calls::default()));
        let other = {
            let root = root.clone();
            thread::spawn(move || root.cancel(None))
        };
        let registered = root.on_cancel(calls.clone());
        let forgotten = registered.is_some_and(|registered| root.forget(registered));
        assert!(other.join().is_ok());
        let expected = usize::from(registered.is_some() && !forgotten);
        assert_eq!(calls.0.load(Ordering::SeqCst), expected);
    });
}

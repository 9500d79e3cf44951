"""An agent with tools, a human who approves, a SQLite file that remembers, and a live stream.

The model is scripted, so the example runs offline; put a real one where `model` is.

    python examples/agent.py                 ask, and answer "yes" to the question
    python examples/agent.py --deny          the same, and answer "no"
    python examples/agent.py --thread mine   keep the conversation, in agent.sqlite
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from taskloom.pregel import (
    END,
    START,
    Command,
    MessagesState,
    StateGraph,
    get_stream_writer,
    interrupt,
)
from taskloom.pregel.checkpoint.sqlite import SqliteSaver

ACCOUNTS = {"savings": 900, "checking": 120}

Message = dict[str, Any]


def balance(account: str) -> str:
    return f"{account}: {ACCOUNTS[account]}"


def transfer(source: str, target: str, amount: int) -> str:
    ACCOUNTS[source] -= amount
    ACCOUNTS[target] += amount
    return f"moved {amount} from {source} to {target}"


TOOLS = {"balance": balance, "transfer": transfer}
NEEDS_APPROVAL = {"transfer"}


def say(content: str, **call: Any) -> Message:
    return {"role": "assistant", "content": content, **({"call": call} if call else {})}


def model(state: MessagesState) -> dict[str, Any]:
    """A scripted model: it looks, it proposes, it sums up."""
    writer = get_stream_writer()
    results = [m for m in state["messages"] if m["role"] == "tool"]
    if not results:
        answer = say("Let me look.", tool="balance", arguments={"account": "checking"})
    elif len(results) == 1:
        arguments = {"source": "savings", "target": "checking", "amount": 300}
        answer = say("You are short of 300.", tool="transfer", arguments=arguments)
    else:
        answer = say(f"Done: {results[-1]['content']}.")
    for word in answer["content"].split():  # as a model that streams would
        writer(word + " ")
    return {"messages": answer}


def route(state: MessagesState) -> str:
    call = state["messages"][-1].get("call")
    if call is None:
        return END
    return "approve" if call["tool"] in NEEDS_APPROVAL else "act"


def approve(state: MessagesState) -> Command[str]:
    """Ask the human. The run ends here, and goes on when there is an answer."""
    call = state["messages"][-1]["call"]
    if interrupt({"question": f"May I {call['tool']}?", **call["arguments"]}) == "yes":
        return Command(goto="act")
    return Command(goto="model", update={"messages": {"role": "tool", "content": "not allowed"}})


def act(state: MessagesState) -> dict[str, Any]:
    call = state["messages"][-1]["call"]
    return {"messages": {"role": "tool", "content": TOOLS[call["tool"]](**call["arguments"])}}


def build() -> StateGraph:
    builder = StateGraph(MessagesState)
    builder.add_node(model)
    builder.add_node(approve, destinations=("act", "model"))
    builder.add_node(act)
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", route, ["approve", "act", END])
    builder.add_edge("act", "model")
    return builder


def show(chunks: Any) -> Any:
    """Print the stream; return the question it ended with, if it did."""
    question = None
    for mode, chunk in chunks:
        if mode == "custom":
            print(chunk, end="", flush=True)
            continue
        for node, update in chunk.items():
            if node == "__interrupt__":
                question = update[0].value
            elif node == "act":
                print(f"\n  [{update['messages']['content']}]")
            elif node == "model":
                print()
    return question


def main() -> None:
    parser = argparse.ArgumentParser(description="A scripted agent that asks before it acts.")
    parser.add_argument("--deny", action="store_true", help='answer "no"')
    parser.add_argument("--thread", help="keep the conversation under this name in agent.sqlite")
    options = parser.parse_args()
    config: Any = {"configurable": {"thread_id": options.thread or "once"}}
    with tempfile.TemporaryDirectory() as scratch:
        file = Path("agent.sqlite") if options.thread else Path(scratch) / "agent.sqlite"
        with SqliteSaver.from_conn_string(str(file)) as saver:
            agent = build().compile(checkpointer=saver)
            print(agent.get_graph().draw_mermaid(with_styles=False))
            given: Any = {"messages": {"role": "user", "content": "Can I pay a bill of 400?"}}
            modes = ["custom", "updates"]
            while question := show(agent.stream(given, config, stream_mode=modes)):
                answer = "no" if options.deny else "yes"
                print(f"{question} {answer}")
                given = Command(resume=answer)
            steps = len(list(agent.get_state_history(config)))
            print(
                f"{len(agent.get_state(config).values['messages'])} messages, {steps} checkpoints"
            )


if __name__ == "__main__":
    main()

"""An executor for agents that write Python, such as smolagents' CodeAgent: each step runs in a
micro-VM of its own. Run it to see a worked example, in which a list of scripts stands for the
model.

    CodeAgent(model=..., tools=[...], executor=MicroVMExecutor(timeout=20))

Variables go from step to step as bytes that only micro-VMs read. A step that fails leaves them as
they were. Tools run on the host: their arguments and results are JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

import udfvm

# Runs once: `final_answer` ends a script, without an error.
PRELUDE = """
_answered, _answer = False, None

def final_answer(answer=None):
    global _answered, _answer
    _answered, _answer = True, answer
    raise SystemExit
"""
TOOL = """
def {name}(*arguments, **keywords):
    import json
    return json.loads(_call_tool({name!r}, json.dumps([arguments, keywords])))
"""


@dataclass
class CodeOutput:
    """What a step gave, as smolagents' class of the same name has it."""

    output: Any
    logs: str
    is_final_answer: bool


class MicroVMExecutor:
    """The protocol of smolagents' ``PythonExecutor``."""

    def __init__(self, **options: Any) -> None:
        """``options`` are those of ``udfvm.run``: ``timeout=``, ``memory=``, ``packages=`` …"""
        self._options = options
        self._tools: dict[str, Callable[..., Any]] = {}
        self._variables: dict[str, Any] = {}
        self._state = udfvm.run(PRELUDE, state=b"").state

    def send_tools(self, tools: Mapping[str, Callable[..., Any]]) -> None:
        """Lets scripts call tools by their names."""
        self._tools = {name: tool for name, tool in tools.items() if name != "final_answer"}
        stubs = "".join(TOOL.format(name=name) for name in self._tools)
        self._state = udfvm.run(stubs, state=self._state).state

    def send_variables(self, variables: Mapping[str, Any]) -> None:
        """Gives variables to the next step."""
        self._variables.update(variables)

    def __call__(self, code_action: str) -> CodeOutput:
        """Runs a step. Raises ``udfvm.Error``, whose text is for the model."""
        result = udfvm.run(
            code_action,
            self._variables,
            state=self._state,
            outputs=["_answered", "_answer"],
            host_functions=[self._host_function()],
            **self._options,
        )
        self._state, self._variables = result.state, {}
        if result.outputs["_answered"]:
            return CodeOutput(result.outputs["_answer"], result.text, is_final_answer=True)
        return CodeOutput(result.value, result.text, is_final_answer=False)

    def _host_function(self) -> Callable[[str, str], str]:
        """Returns the one function of the host that scripts can call."""

        def _call_tool(name: str, arguments: str) -> str:
            positional, keywords = json.loads(arguments)
            return json.dumps(self._tools[name](*positional, **keywords), default=str)

        return _call_tool


# ---- A worked example ----

FLIGHTS = pa.table({"carrier": ["UA", "AA", "UA", "DL"], "delay": [12.0, 3.0, -6.0, 40.0]})

STEPS = [
    # A model looks at what it has …
    "print(flights.schema.names, flights.num_rows)",
    # … makes a mistake, and sees the error with its line …
    "late = [row for row in flights.to_pylist()\n        if row['dealy'] > 0]",
    # … corrects it, in a step whose variables the next one has …
    "late = [row for row in flights.to_pylist() if row['delay'] > 0]\nprint(len(late), 'are late')",
    # … tries what it should not …
    "open('/etc/shadow').read()",
    # … uses a tool, and answers.
    "worst = max(late, key=lambda row: row['delay'])\n"
    "final_answer(f\"{name_of(worst['carrier'])}: {worst['delay']:.0f} minutes\")",
]


def name_of(carrier: str) -> str:
    """A tool."""
    return {"UA": "United", "AA": "American", "DL": "Delta"}[carrier]


def converse(steps: list[str]) -> list[str]:
    """Runs the steps of an agent. Returns what the model would read after each."""
    executor = MicroVMExecutor(timeout=20)
    executor.send_tools({"name_of": name_of})
    executor.send_variables({"flights": FLIGHTS})
    observed = []
    for step in steps:
        try:
            made = executor(step)
        except udfvm.Error as error:
            observed.append(f"error: {error}")
            continue
        observed.append(made.logs if made.output is None else f"{made.logs}{made.output}")
        if made.is_final_answer:
            break
    return observed


if __name__ == "__main__":
    for step, observation in zip(STEPS, converse(STEPS), strict=True):
        print(f"--- {step}\n{observation}\n")

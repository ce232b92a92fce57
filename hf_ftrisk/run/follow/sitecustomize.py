"""Runs as each Python process of a followed command starts.

It imports nothing of ours: it waits until the process imports a Trainer or an optimizer. The
person's own ``sitecustomize``, which this one stands before, runs as it would without it.
"""

import importlib.machinery
import importlib.util
import os
import sys

_FOLLOWED = "HF_FTRISK_RUN"
_AWAITED = ("torch.optim.optimizer", "transformers.trainer")
_HERE = os.path.dirname(os.path.abspath(__file__))


class _Waiting:
    """A finder that finds nothing, and begins to follow at the first of the awaited modules."""

    def find_spec(
        self, name: str, path: object = None, target: object = None
    ) -> "importlib.machinery.ModuleSpec | None":
        if name not in _AWAITED or self not in sys.meta_path:
            return None
        sys.meta_path.remove(self)
        # `hf-ftrisk run` itself, started by the command, follows in its own way.
        if _FOLLOWED not in os.environ:
            return None
        try:
            from hf_ftrisk.run.followed import begin
        except ImportError as error:
            if os.environ.get("RANK", "0") == "0":
                print(
                    "hf-ftrisk: nothing is judged in this process: hf_ftrisk cannot be imported by "
                    f"{sys.executable} ({error}). Install hf-ftrisk there",
                    file=sys.stderr,
                )
            return None
        begin()
        return importlib.util.find_spec(name)


def _run_own() -> None:
    """Run the person's own ``sitecustomize``, if there is one."""
    path = [part for part in sys.path if os.path.abspath(part or os.getcwd()) != _HERE]
    sys.path[:] = path
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


if _FOLLOWED in os.environ:
    sys.meta_path.insert(0, _Waiting())
_run_own()

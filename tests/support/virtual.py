"""An event loop whose clock jumps to the next timer instead of waiting for it."""

import asyncio
import selectors


class _Jumping(selectors.SelectSelector):
    """Answers at once; what the loop wanted to wait is added to its clock."""

    loop = None

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "deadlock: nothing is due and nothing can happen"
            # at least a microsecond a step: a timer a rounding error away would be due for ever
            self.loop.now += max(timeout, 1e-6)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time starts at 1,000 s and moves only when every task waits."""

    def __init__(self):
        self.now = 1000.0
        selector = _Jumping()
        selector.loop = self
        super().__init__(selector)

    def time(self):
        return self.now


def run(main):
    """Run the coroutine to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)

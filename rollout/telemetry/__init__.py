"""Events become log lines: rendered, redacted, written. What people see of a state is made in `rollout.views`."""

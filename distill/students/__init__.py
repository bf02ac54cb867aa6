"""Students: what a super tiny language model looks like, and how one lies on disk."""

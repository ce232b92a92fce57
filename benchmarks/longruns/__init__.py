"""Reference runs of real length, each with what a pre-flight would have seen of it."""

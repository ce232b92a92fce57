"""What a pre-flight saw of a run, part by part: read, judged, put into words."""

"""Words -> prompts -> teacher text -> verdicts -> story rows."""

"""What turns prompts into teacher text; the only folder of datagen that may load torch or vllm."""

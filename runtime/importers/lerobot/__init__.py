"""LeRobot checkpoints: a folder with config.json, model.safetensors and two processor pipelines."""

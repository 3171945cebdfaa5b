"""How an update is carried out, and where: eager, compiled, as a CUDA graph; device and memory."""

"""The loss and the gradients of the PyTorch peer: torch_gradients.py A|B

The peer is the model.py in $FORESCALE_PEERS/train. It gets weights and a batch
from a fixed seed, no dropout, and the mean squared error. To standard output
goes a line of JSON, a list of [name, dimensions], and after it the arrays in
this order, float32, little-endian, row-major.
"""
import importlib.util
import json
import os
import sys

import torch

BATCH = 64


def peer():
    path = os.path.join(os.environ["FORESCALE_PEERS"], "train", "model.py")
    spec = importlib.util.spec_from_file_location("peer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(name):
    sys.dont_write_bytecode = True
    module = peer()
    torch.manual_seed(7)
    shape = module.SHAPES[name]
    model = module.Forecaster(**shape, dropout=0.0).train()
    x = torch.randn(BATCH, shape["steps"], shape["inputs"])
    y = torch.randn(BATCH, 1)
    output = model(x)
    loss = torch.nn.functional.mse_loss(output, y)
    loss.backward()
    arrays = {"x": x, "y": y, "output": output, "loss": loss}
    for key, value in model.named_parameters():
        arrays[key], arrays["grad " + key] = value, value.grad
    print(json.dumps([[key, list(value.shape)] for key, value in arrays.items()]), flush=True)
    for value in arrays.values():
        sys.stdout.buffer.write(value.detach().numpy().astype("<f4").tobytes())


if __name__ == "__main__":
    main(sys.argv[1])

"""Reads a model file with the safetensors package, as another framework would.

usage: read_safetensors.py MODEL TENSOR DIM... : fails unless the tensor has this shape
and the file says what the model cost.
"""
import sys

try:
    from safetensors import safe_open
except ImportError:
    print("skipped: no safetensors package here")
    sys.exit(77)

path, name, dims = sys.argv[1], sys.argv[2], [int(d) for d in sys.argv[3:]]
with safe_open(path, "np") as model:
    metadata = model.metadata()
    shape = list(model.get_tensor(name).shape)
assert shape == dims, f"{name} is {shape}, expected {dims}"
assert metadata["ppt_model_version"] == "1", metadata
assert len(metadata["spec_sha256"]) == 64, metadata
print(f"{name} {shape}, job {metadata['job_id']}, epsilon {metadata.get('epsilon')}")

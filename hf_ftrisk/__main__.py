"""`python -m hf_ftrisk` is `hf-ftrisk`; so `accelerate launch -m hf_ftrisk run ...` works."""

from hf_ftrisk.cli import main

if __name__ == "__main__":
    main()

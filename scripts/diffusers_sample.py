#!/usr/bin/env python3
"""Opens a folder that noiselab wrote with Python's diffusers, and draws from it on the CPU.

    diffusers_sample.py runs/first --n 16 --steps 50 --out grid.png
    diffusers_sample.py runs/first --steps 50 --compare samples.safetensors

Needs torch, diffusers, numpy, pillow and safetensors.

The first form uses `DDPMPipeline.from_pretrained`, puts DDIM (eta 0) or, with
--sampler ddpm, ancestral sampling in the place of the scheduler, and writes a grid.

The second starts from the noise stored as `x_init` in the file, [N, C, H, W] f32, runs
DDIM with eta 0 for --steps steps, and prints the L2 distance to the tensor `samples` of
the same file, relative to its L2 norm. With --max-error the status is 1 above that.

Status: 0 done, 1 too far apart, 2 wrong input, 3 a Python package is missing.
"""

import argparse
import math
import os
import sys


def fail(message, status=2):
    print(f"error: {message}", file=sys.stderr)
    sys.exit(status)


try:
    import numpy as np
    import torch
    from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler
    from PIL import Image
    from safetensors.torch import load_file
except ImportError as missing:
    fail(f"{missing}; install torch, diffusers, numpy, pillow and safetensors", 3)


@torch.no_grad()
def draw(net, scheduler, x, steps, gen, eta):
    """Runs the sampler from x_T = `x` down to an image in about [-1, 1]."""
    scheduler.set_timesteps(steps)
    extra = {"eta": eta} if isinstance(scheduler, DDIMScheduler) else {}
    for t in scheduler.timesteps:
        x = scheduler.step(net(x, t).sample, t, x, generator=gen, **extra).prev_sample
    return x


def write_grid(x, path, padding=2):
    pixels = ((x.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    n, high, wide, channels = pixels.shape
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    grid = np.zeros((rows * (high + padding) + padding, columns * (wide + padding) + padding, channels), np.uint8)
    for i, image in enumerate(pixels):
        top, left = (padding + i // columns * (high + padding), padding + i % columns * (wide + padding))
        grid[top : top + high, left : left + wide] = image
    part = f"{path}.tmp"
    Image.fromarray(grid.squeeze(2) if channels == 1 else grid).save(part, format="PNG")
    os.replace(part, path)


def compare(net, scheduler, path, steps, max_error):
    tensors = load_file(path)
    for name in ("x_init", "samples"):
        if name not in tensors:
            fail(f"{path} has no tensor `{name}` (it has: {', '.join(sorted(tensors)) or 'none'})")
    start, theirs = tensors["x_init"].float(), tensors["samples"].float()
    if start.shape != theirs.shape:
        fail(f"x_init is {list(start.shape)} but samples is {list(theirs.shape)} in {path}")
    ours = draw(net, scheduler, start, steps, None, 0.0)
    error = ((ours - theirs).norm() / ours.norm()).item()
    print(f"{len(ours)} samples, {steps} DDIM steps: relative L2 {error:.3e}, largest {(ours - theirs).abs().max():.3e}")
    # written so that NaN fails
    return 0 if max_error is None or error <= max_error else 1


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("folder", help="a diffusers pipeline folder")
    ap.add_argument("--n", type=int, default=16, help="how many samples")
    ap.add_argument("--steps", type=int, default=50)
    ap.add_argument("--sampler", choices=("ddim", "ddpm"), default="ddim")
    ap.add_argument("--eta", type=float, default=0.0, help="DDIM's eta")
    ap.add_argument("--seed", type=int, default=0)
    ap.add_argument("--out", help="the picture to write (PNG)")
    ap.add_argument("--compare", metavar="FILE", help="safetensors file with x_init and samples")
    ap.add_argument("--max-error", type=float, help="the largest relative L2 that --compare accepts")
    ap.add_argument("--threads", type=int, default=1)
    args = ap.parse_args()
    if not args.out and not args.compare:
        ap.error("give --out or --compare")
    if args.compare and (args.sampler != "ddim" or args.eta != 0):
        ap.error("--compare is for DDIM with eta 0")
    if args.n < 1 or args.steps < 1:
        ap.error("--n and --steps must be at least 1")
    torch.set_num_threads(args.threads)
    if not os.path.isfile(os.path.join(args.folder, "model_index.json")):
        fail(f"{args.folder} is not a pipeline folder: it has no model_index.json")

    pipeline = DDPMPipeline.from_pretrained(args.folder, low_cpu_mem_usage=False, local_files_only=True)
    net = pipeline.unet.eval()
    kind = DDIMScheduler if args.sampler == "ddim" else DDPMScheduler
    scheduler = kind.from_config(pipeline.scheduler.config)
    print(f"{args.folder}: {sum(p.numel() for p in net.parameters())} parameters, {type(pipeline.scheduler).__name__}")

    if args.out:
        side = net.config.sample_size
        high, wide = (side, side) if isinstance(side, int) else side
        gen = torch.Generator().manual_seed(args.seed)
        x = torch.randn(args.n, net.config.in_channels, high, wide, generator=gen)
        x = draw(net, scheduler, x, args.steps, gen, args.eta)
        if not torch.isfinite(x).all():
            fail("the samples hold NaN or infinite pixels", 1)
        write_grid(x, args.out)
        print(f"wrote {args.out}: {args.n} samples, mean {x.mean():.3f}, standard deviation {x.std():.3f}")
    if args.compare:
        return compare(net, scheduler, args.compare, args.steps, args.max_error)
    return 0


if __name__ == "__main__":
    sys.exit(main())

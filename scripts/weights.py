#!/usr/bin/env python3
"""Makes weights for other weights: a wider U-Net that knows what a trained one has learned, and a file of half the size.

widen: Net2Net (Chen, Goodfellow, Shlens 2015). The new channels of a level are copies of its first
ones, and what reads a channel that has copies shares its weight out among them by random parts that sum
to the old weight, so that they learn different things from the first step on. The number of groups of
the group norms grows with the width, so that each group keeps its statistics; only where two tensors
are concatenated do some groups fall elsewhere, which some hundred steps of training put right.

refit: makes the weights of the time embedding's first layer small where they have become huge.

halve: stores the weights as f16, under the same names; whoever loads them computes in f32. With --mean, those of the
mean of several runs that started from the same weights, or from each other's (a soup: Wortsman et al. 2022).

    python3 scripts/weights.py widen assets/pretrained/digits runs/wide --channels 24,48,96
    noiselab train --init runs/wide ...
    python3 scripts/weights.py halve runs/digits-7 assets/pretrained/digits

Needs torch and diffusers.
"""

import argparse
import pathlib
import shutil
from fractions import Fraction

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file


TIMES = torch.arange(1000)


def fitted(wanted, sinusoids, ridge=0.1):
    """The weight of a linear layer that makes `wanted` of the sinusoids, about. Neighbouring frequencies are so alike
    that the best fit has weights of millions, and rounding errors to match: ridge regression keeps them small."""
    p, wanted = sinusoids.double(), wanted.double()
    weight = torch.linalg.solve(p.T @ p + ridge * torch.eye(p.shape[1], dtype=p.dtype), p.T @ wanted)
    error = (p @ weight - wanted).norm() / wanted.norm()
    print(f"the time embedding is fitted to {error:.1%}, with weights up to {weight.abs().max():.2g}")
    return weight.T.float()


def copies(old, new):
    """Which old channel each new one is, or copies."""
    if not old <= new <= 2 * old:
        raise SystemExit(f"{old} channels cannot become {new}: from as many to twice as many can they grow")
    return torch.cat([torch.arange(old), torch.arange(new - old)])


def shared_out(weight, out, into, generator):
    """Rows copied; columns shared out among the copies of an input, in parts that sum to one."""
    rows = weight[out][:, into]
    parts = 0.5 + torch.randn(rows.shape, generator=generator) * 0.5
    count = torch.bincount(into)
    sums = torch.zeros(rows.shape[0], count.numel(), *rows.shape[2:])
    sums.index_add_(1, into, parts)
    # A shift instead of a quotient: a sum near zero would blow the parts up.
    return rows * (parts + ((1.0 - sums) / count.view(1, -1, *[1] * (rows.dim() - 2)))[:, into])


def widen(old, channels, seed):
    config = dict(old.config)
    ratios = {Fraction(b, a) for a, b in zip(old.config.block_out_channels, channels)}
    if len(ratios) != 1 or len(channels) != len(old.config.block_out_channels):
        raise SystemExit("every level must grow by the same factor, for the group norms keep their groups")
    groups = old.config.norm_num_groups * ratios.pop()
    if groups.denominator != 1:
        raise SystemExit(f"{old.config.norm_num_groups} groups cannot grow by that factor")
    config["block_out_channels"] = channels
    config["norm_num_groups"] = int(groups)
    new = UNet2DModel.from_config(config)
    generator = torch.Generator().manual_seed(seed)
    levels = [copies(a, b) for a, b in zip(old.config.block_out_channels, channels)]
    widths = list(old.config.block_out_channels)
    image = torch.arange(old.config.in_channels)
    predicted = torch.arange(old.config.out_channels)
    embed = copies(widths[0] * 4, channels[0] * 4)
    old_modules = dict(old.named_modules())
    done = set()

    def put(name, **values):
        for key, value in values.items():
            parameter = new.get_parameter(f"{name}.{key}")
            assert parameter.shape == value.shape, (name, key, parameter.shape, value.shape)
            parameter.data.copy_(value)
            done.add(f"{name}.{key}")

    def layer(name, out, into):
        module = old_modules[name]
        put(name, weight=shared_out(module.weight, out, into, generator))
        if module.bias is not None:
            put(name, bias=module.bias[out])

    def norm(name, out):
        put(name, weight=old_modules[name].weight[out], bias=old_modules[name].bias[out])

    def resnet(name, into, out):
        norm(f"{name}.norm1", into)
        layer(f"{name}.conv1", out, into)
        layer(f"{name}.time_emb_proj", out, embed)
        norm(f"{name}.norm2", out)
        layer(f"{name}.conv2", out, out)
        if f"{name}.conv_shortcut" in old_modules:
            layer(f"{name}.conv_shortcut", out, into)

    def attention(name, channel):
        norm(f"{name}.group_norm", channel)
        for part in ("to_q", "to_k", "to_v", "to_out.0"):
            layer(f"{name}.{part}", channel, channel)

    # A wider embedding has other frequencies: what the old layer made of its sinusoids is fitted.
    module = old_modules["time_embedding.linear_1"]
    weight = fitted(old.time_proj(TIMES) @ module.weight.T, new.time_proj(TIMES))
    put("time_embedding.linear_1", weight=weight[embed], bias=module.bias[embed])
    layer("time_embedding.linear_2", embed, embed)

    layer("conv_in", levels[0], image)
    here, width = levels[0], widths[0]
    skips = [here]
    for index, block in enumerate(old.down_blocks):
        for j in range(len(block.resnets)):
            resnet(f"down_blocks.{index}.resnets.{j}", here, levels[index])
            here, width = levels[index], widths[index]
            if getattr(block, "attentions", None):
                attention(f"down_blocks.{index}.attentions.{j}", here)
            skips.append(here)
        if block.downsamplers:
            layer(f"down_blocks.{index}.downsamplers.0.conv", here, here)
            skips.append(here)
    for j in range(2):
        resnet(f"mid_block.resnets.{j}", here, here)
    for j, module in enumerate(old.mid_block.attentions):
        if module is not None:
            attention(f"mid_block.attentions.{j}", here)
    for index, block in enumerate(old.up_blocks):
        level = len(widths) - 1 - index
        for j in range(len(block.resnets)):
            skip = skips.pop()
            both = torch.cat([here, skip + width])
            resnet(f"up_blocks.{index}.resnets.{j}", both, levels[level])
            here, width = levels[level], widths[level]
            if getattr(block, "attentions", None):
                attention(f"up_blocks.{index}.attentions.{j}", here)
        if block.upsamplers:
            layer(f"up_blocks.{index}.upsamplers.0.conv", here, here)
    norm("conv_norm_out", here)
    layer("conv_out", predicted, here)
    left = set(dict(new.named_parameters())) - done
    assert not left, f"not filled: {sorted(left)}"
    return new


def write_wider(args):
    channels = [int(c) for c in args.channels.split(",")]
    torch.manual_seed(args.seed)
    old = UNet2DModel.from_pretrained(args.source, subfolder="unet", low_cpu_mem_usage=False)
    with torch.no_grad():
        new = widen(old.eval(), channels, args.seed).eval()
        images = torch.randn(8, old.config.in_channels, old.config.sample_size, old.config.sample_size)
        for t in (20, 200, 500, 800):
            a, b = old(images, t).sample, new(images, t).sample
            print(f"t = {t}: the outputs for noise differ by {((a - b).norm() / a.norm()).item():.1%}")
    scheduler = DDPMScheduler.from_pretrained(args.source, subfolder="scheduler")
    DDPMPipeline(unet=new, scheduler=scheduler).save_pretrained(args.target)
    print(f"{sum(p.numel() for p in old.parameters()):,} parameters became {sum(p.numel() for p in new.parameters()):,}")


def write_fitted(args):
    unet = UNet2DModel.from_pretrained(args.source, subfolder="unet", low_cpu_mem_usage=False)
    scheduler = DDPMScheduler.from_pretrained(args.source, subfolder="scheduler")
    with torch.no_grad():
        layer, sinusoids = unet.time_embedding.linear_1, unet.time_proj(TIMES)
        layer.weight.copy_(fitted(sinusoids.double() @ layer.weight.double().T, sinusoids))
    DDPMPipeline(unet=unet, scheduler=scheduler).save_pretrained(args.target)


def write_half(args):
    source, target = pathlib.Path(args.source), pathlib.Path(args.target)
    for file in ("model_index.json", "scheduler/scheduler_config.json", "unet/config.json"):
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / file, target / file)
    name = "unet/diffusion_pytorch_model.safetensors"
    weights = load_file(source / name)
    others = [load_file(pathlib.Path(other) / name) for other in args.mean]
    weights = {k: torch.stack([v, *(other[k] for other in others)]).mean(0) for k, v in weights.items()}
    save_file({k: v.half() for k, v in weights.items()}, target / name, metadata={"format": "pt"})
    print(f"{target / name}: {(target / name).stat().st_size:,} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for name, run in (("widen", write_wider), ("refit", write_fitted), ("halve", write_half)):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("source", help="diffusers pipeline folder to read")
        command.add_argument("target", help="diffusers pipeline folder to write")
        if name == "widen":
            command.add_argument("--channels", required=True, help="channels of each level, such as 24,48,96")
            command.add_argument("--seed", type=int, default=0)
        if name == "halve":
            command.add_argument("--mean", metavar="FOLDER", nargs="+", default=[], help="other pipeline folders with the same network")
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Exports networks with seeded random weights to ONNX, with one input and what PyTorch computes for it.

  networks.py OUT [--only NAME]... [--batch N]... [--exporter torchscript|dynamo]...

Writes OUT/NAME-bBATCH-EXPORTER.onnx, and beside it .input.bin and .output.bin: the bytes of the first input and the
first output, row-major. Definitions are those of torchvision, timm and transformers (nothing is downloaded); the rest
is here.
Needs torch, torchvision, timm, transformers<5, onnx and onnxscript. A model that cannot be exported is named, with the
cause, and the others go on; the exit status says how many failed.
"""
import argparse
import os
import sys
import traceback
import warnings

import torch
from torch import nn
from torch.nn import functional as F


class Unet(nn.Module):
    """Three levels of two 3x3 convolutions with batch norm, pooling down, transposed convolutions up, skips joined."""

    def __init__(self, widths=(16, 32, 64)):
        super().__init__()
        block = lambda i, o: nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU(),
                                           nn.Conv2d(o, o, 3, padding=1), nn.BatchNorm2d(o), nn.ReLU())
        a, b, c = widths
        self.down = nn.ModuleList([block(3, a), block(a, b)])
        self.middle = block(b, c)
        self.lift = nn.ModuleList([nn.ConvTranspose2d(c, b, 2, stride=2), nn.ConvTranspose2d(b, a, 2, stride=2)])
        self.up = nn.ModuleList([block(2 * b, b), block(2 * a, a)])
        self.head = nn.Conv2d(a, 4, 1)

    def forward(self, x):
        first = self.down[0](x)
        second = self.down[1](F.max_pool2d(first, 2))
        y = self.middle(F.max_pool2d(second, 2))
        y = self.up[0](torch.cat([self.lift[0](y), second], 1))
        y = self.up[1](torch.cat([self.lift[1](y), first], 1))
        return self.head(y)


class Recurrent(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.head = nn.Linear(layer.hidden_size, 10)

    def forward(self, x):
        return self.head(self.layer(x)[0])


class Speech(nn.Module):
    """A stack of one-dimensional convolutions over a log-mel spectrogram: strided, dilated and depthwise."""

    def __init__(self, width=64):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(40, width, 5, stride=2, padding=2), nn.GELU(),
            nn.Conv1d(width, width, 5, padding=4, dilation=2), nn.GroupNorm(8, width), nn.SiLU(),
            nn.Conv1d(width, width, 7, padding=3, groups=width), nn.Conv1d(width, width, 1), nn.GELU())
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 29)

    def forward(self, x):
        return torch.log_softmax(self.head(self.norm(self.layers(x).transpose(1, 2))), -1)


def bert():
    from transformers import BertConfig, BertModel
    config = BertConfig(vocab_size=1000, hidden_size=128, num_hidden_layers=2, num_attention_heads=2,
                        intermediate_size=512, attn_implementation="eager")
    class Hidden(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = BertModel(config, add_pooling_layer=False)

        def forward(self, ids):
            return self.model(input_ids=ids).last_hidden_state
    return Hidden()


class NextToken(nn.Module):
    """GPT-2 small with the head that shares the embedding's weights: logits of every position, 124 million weights.
    A traced model is given its causal mask: tracing cannot follow how transformers makes one."""

    def __init__(self):
        super().__init__()
        from transformers import GPT2Config, GPT2LMHeadModel
        self.model = GPT2LMHeadModel(GPT2Config(use_cache=False))

    def forward(self, ids):
        length, mask = ids.shape[1], None
        if torch.jit.is_tracing():
            mask = torch.full((length, length), torch.finfo(torch.float32).min).triu(1)[None, None]
        return self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits


def vision(name):
    import torchvision
    return getattr(torchvision.models, name)(weights=None)


def image_model(name, **options):
    import timm
    return timm.create_model(name, pretrained=False, **options)


def images(size):
    return lambda batch: torch.randn(batch, 3, size, size)


# name: (model, its first input for a batch)
NETWORKS = {
    "resnet18": (lambda: vision("resnet18"), images(224)),
    "mobilenet_v2": (lambda: vision("mobilenet_v2"), images(224)),
    "efficientnet_b0": (lambda: vision("efficientnet_b0"), images(224)),
    "shufflenet_v2": (lambda: vision("shufflenet_v2_x1_0"), images(224)),
    "vit_tiny": (lambda: image_model("vit_tiny_patch16_224"), images(224)),
    "swin_tiny": (lambda: vision("swin_t"), images(224)),
    "unet": (Unet, images(64)),
    "bert_mini": (bert, lambda batch: torch.randint(0, 1000, (batch, 64))),
    "gpt2_small": (NextToken, lambda batch: torch.randint(0, 50257, (batch, 32))),
    "lstm": (lambda: Recurrent(nn.LSTM(64, 96, num_layers=2, batch_first=True)),
             lambda batch: torch.randn(batch, 20, 64)),
    "gru": (lambda: Recurrent(nn.GRU(64, 96, bidirectional=False, batch_first=True)),
            lambda batch: torch.randn(batch, 20, 64)),
    "speech": (Speech, lambda batch: torch.randn(batch, 40, 100)),
}


def settle(model):
    """Statistics and scales that are not those of a new layer, so that a wrong fold shows."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    return model.eval()


def seed_of(batch):
    return batch + 17


def export(out, name, batch, exporter):
    torch.manual_seed(seed_of(batch))
    make, sample = NETWORKS[name]
    model, x = settle(make()), sample(batch)
    path = os.path.join(out, f"{name}-b{batch}-{exporter}")
    with torch.no_grad():
        y = model(x)
    dynamo = exporter == "dynamo"
    torch.onnx.export(model, (x,), path + ".onnx", input_names=["x"], output_names=["y"],
                      opset_version=18 if dynamo else 17, dynamo=dynamo, external_data=False, verbose=False)
    for suffix, tensor in ((".input.bin", x), (".output.bin", y)):
        with open(path + suffix, "wb") as file:
            file.write(tensor.contiguous().numpy().tobytes())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--only", action="append", choices=NETWORKS)
    parser.add_argument("--batch", action="append", type=int)
    parser.add_argument("--exporter", action="append", choices=["torchscript", "dynamo"])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    os.makedirs(arguments.out, exist_ok=True)
    failed = 0
    for name in arguments.only or NETWORKS:
        for batch in arguments.batch or [1, 8]:
            for exporter in arguments.exporter or ["torchscript", "dynamo"]:
                try:
                    export(arguments.out, name, batch, exporter)
                    print(f"{name} batch {batch} {exporter}: written", flush=True)
                except Exception as error:  # of any exporter: the next model does not depend on it
                    failed += 1
                    cause = traceback.format_exception_only(error)[-1].strip().splitlines()[0]
                    print(f"{name} batch {batch} {exporter}: cannot export: {cause}", flush=True)
    sys.exit(min(failed, 100))


if __name__ == "__main__":
    main()

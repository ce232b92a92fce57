# /// script
# requires-python = ">=3.11"
# dependencies = ["hf-ftrisk[train]"]
# ///
"""Seq2SeqTrainer that is measured by what the model generates; nothing here knows of hf-ftrisk.

    hf-ftrisk run --goal "eval_exact_match>=0.8" examples/sequence_to_sequence.py \\
        --output_dir out --predict_with_generate
"""

from __future__ import annotations

import numpy as np
from offline import questions, sequence_to_sequence, tokenizer
from transformers import (
    DataCollatorForSeq2Seq,
    EvalPrediction,
    HfArgumentParser,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    set_seed,
)


def main() -> None:
    """Train and evaluate."""
    (training_args,) = HfArgumentParser(Seq2SeqTrainingArguments).parse_args_into_dataclasses()
    set_seed(training_args.seed)
    words = tokenizer()
    model = sequence_to_sequence(len(words))

    def encode(rows: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        return {**words(rows["prompt"]), "labels": words(rows["completion"])["input_ids"]}

    def exact_match(prediction: EvalPrediction) -> dict[str, float]:
        parts = (prediction.predictions, prediction.label_ids)
        said, wanted = (
            words.batch_decode(
                np.where(ids == -100, words.pad_token_id, ids), skip_special_tokens=True
            )
            for ids in parts
        )
        return {"exact_match": float(np.mean([a == b for a, b in zip(said, wanted, strict=True)]))}

    data = [
        questions(start, stop).map(encode, batched=True, remove_columns=["prompt", "completion"])
        for start, stop in ((0, 512), (512, 576))
    ]
    trainer = Seq2SeqTrainer(
        model=model,
        args=training_args,
        train_dataset=data[0],
        eval_dataset=data[1],
        processing_class=words,
        data_collator=DataCollatorForSeq2Seq(words, model=model),
        compute_metrics=exact_match if training_args.predict_with_generate else None,
    )
    trainer.train()
    metrics = trainer.evaluate()
    print(f"eval loss {metrics['eval_loss']:.3f}, exact match {metrics.get('eval_exact_match')}")


if __name__ == "__main__":
    main()

"""Tiny real models and Trainers that push to the local Hub."""

import numpy as np
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)

WORDS = ["<pad>", "<s>", "</s>", "<unk>", "a", "b", "c", "d"]
COMMON = {
    "max_steps": 2,
    "per_device_train_batch_size": 4,
    "logging_steps": 1,
    "report_to": [],
    "use_cpu": True,
    "disable_tqdm": True,
    "save_strategy": "no",
}


def rows():
    rng = np.random.default_rng(0)
    tokens = rng.integers(4, 8, size=(16, 6))
    return Dataset.from_dict({"input_ids": tolist(tokens), "labels": tolist(tokens[:, 0] % 2)})


def tolist(array):
    return np.asarray(array).tolist()


def bert():
    config = BertConfig(
        vocab_size=8,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=8,
    )
    return BertForSequenceClassification(config)


def bert_trainer(folder, *, kind=Trainer, lora=False, **settings):
    """A classifier's Trainer, evaluated at each step."""
    model = bert()
    if lora:
        model = get_peft_model(
            model, LoraConfig(r=2, target_modules=["query"], task_type="SEQ_CLS")
        )
    settings = COMMON | {"eval_strategy": "steps", "eval_steps": 1} | settings
    arguments = TrainingArguments(output_dir=str(folder), **settings)
    return kind(model=model, args=arguments, train_dataset=rows(), eval_dataset=rows())


def tokenizer():
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )


def sft_lora_trainer(folder, **settings):
    """TRL's supervised fine-tuning of a language model with LoRA."""
    from trl import SFTConfig, SFTTrainer

    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        intermediate_size=8,
        max_position_embeddings=32,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return SFTTrainer(
        model=LlamaForCausalLM(config),
        args=SFTConfig(output_dir=str(folder), max_length=16, **(COMMON | settings)),
        train_dataset=Dataset.from_dict({"text": ["a b c d", "b c d a"] * 8}),
        processing_class=tokenizer(),
        peft_config=LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"),
    )


def sentence_trainer(folder, **settings):
    """sentence-transformers' Trainer, which writes its own card whenever it saves."""
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    base = str(folder / "base")
    bert().bert.save_pretrained(base)
    tokenizer().save_pretrained(base)
    model = SentenceTransformer(modules=[Transformer(base), Pooling(8)])
    pairs = {"a": ["a b", "b c"] * 4, "b": ["c d", "d a"] * 4}
    return SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(str(folder / "out"), **(COMMON | settings)),
        train_dataset=Dataset.from_dict(pairs),
        loss=MultipleNegativesRankingLoss(model),
    )

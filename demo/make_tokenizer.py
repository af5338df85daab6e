"""Makes the tokenizer of tiny-bpe: byte-level BPE, with the Hugging Face tokenizers library (pip install tokenizers==0.23.3).

usage: make_tokenizer.py OUT TEXT...     writes OUT/tokenizer.json and OUT/tokenizer_config.json
"""
import json
import pathlib
import sys

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

out = pathlib.Path(sys.argv[1])
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
trainer = trainers.BpeTrainer(vocab_size=1024, special_tokens=["<|endoftext|>"],
                              initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
tokenizer.train(sys.argv[2:], trainer)
end = tokenizer.token_to_id("<|endoftext|>")
tokenizer.post_processor = processors.TemplateProcessing(  # every text begins with it
    single="<|endoftext|> $A", pair="<|endoftext|> $A $B", special_tokens=[("<|endoftext|>", end)])
tokenizer.save(str(out / "tokenizer.json"))
config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>",
          "clean_up_tokenization_spaces": False, "model_max_length": 2048}
(out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
print(f"{tokenizer.get_vocab_size()} tokens; <|endoftext|> is {end}")

"""Models of other families, tiny and random, from transformers' own configuration classes, saved as a hub would."""

from tokenizers import AddedToken
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from jwvl_lib import tiny_base, vlm

FAMILIES = ("qwen3_vl", "llava", "idefics3", "smolvlm")
TEXT = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)
VISION = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)
LLAVA_CHAT = (
    "{% for m in messages %}{{ m['role'].upper() }}: {% for c in m['content'] %}{% if c['type'] == 'image' %}<image>\n"
    "{% endif %}{% endfor %}{% for c in m['content'] %}{% if c['type'] == 'text' %}{{ c['text'] }} {% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}ASSISTANT: {% endif %}"
)
IDEFICS_CHAT = (
    "<|im_start|>{% for m in messages %}{{ m['role'].capitalize() }}:{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)


def _tokenizer(*special):
    tokenizer = vlm.load_processor(tiny_base.FOLDER).tokenizer
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer


def save(family, folder):
    """Write model and processor of a family into a folder that `from_pretrained` loads."""
    processor, model = globals()[f"_{family}"]()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


def _qwen3_vl():
    tokenizer = _tokenizer()
    processor = vlm.ImageTextProcessor(
        Qwen2VLImageProcessorPil(patch_size=16, min_pixels=1024, max_pixels=65536), tokenizer, tiny_base.CHAT_TEMPLATE
    )
    ids = tokenizer.convert_tokens_to_ids
    rope = dict(rope_type="default", rope_theta=1e4, mrope_section=[2, 1, 1], mrope_interleaved=True)
    vision = dict(depth=2, hidden_size=32, intermediate_size=48, num_heads=4, out_hidden_size=32, patch_size=16)
    config = Qwen3VLConfig(
        text_config=TEXT | dict(vocab_size=len(tokenizer), head_dim=8, rope_parameters=rope),
        vision_config=vision | dict(deepstack_visual_indexes=[0, 1], num_position_embeddings=64),
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"),
        vision_end_token_id=ids("<|vision_end|>"),
    )
    return processor, Qwen3VLForConditionalGeneration(config)


def _llava():
    tokenizer = _tokenizer("<image>")
    side = dict(height=28, width=28)
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size=side, crop_size=side),
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_CHAT,
    )
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VISION, image_size=28, patch_size=14),
        text_config=LlamaConfig(**TEXT, vocab_size=len(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )
    return processor, LlavaForConditionalGeneration(config)


def _idefics(config_class, model_class):
    tokenizer = _tokenizer("<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>")
    tokenizer.add_tokens([f"<row_{r}_col_{c}>" for r in (1, 2) for c in (1, 2)])
    images = Idefics3ImageProcessorPil(size=dict(longest_edge=56), max_image_size=dict(longest_edge=28))
    processor = Idefics3Processor(images, tokenizer, image_seq_len=1, chat_template=IDEFICS_CHAT)
    config = config_class(
        vision_config=VISION | dict(image_size=28, patch_size=14),
        text_config=dict(model_type="llama", vocab_size=len(tokenizer), pad_token_id=0, **TEXT),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=0,
    )
    return processor, model_class(config)


def _idefics3():
    return _idefics(Idefics3Config, Idefics3ForConditionalGeneration)


def _smolvlm():
    return _idefics(SmolVLMConfig, SmolVLMForConditionalGeneration)

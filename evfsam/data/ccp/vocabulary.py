"""Prompts for the photographs: label names of the data set, other wordings, and doubtful labels."""

from __future__ import annotations

SEMANTIC = "[semantic] "
NULL = "null"
SMALLEST_SHARE = 0.003  # of the image: smaller areas are no targets

PERSON, CLOTHES = SEMANTIC + "person", SEMANTIC + "clothes"

# "person" is everything that a person wears and carries: None stands for all labels except "null".
GROUPS: dict[str, tuple[str, ...] | None] = {
    "person": None,
    "clothes": (
        *("belt", "blazer", "blouse", "bodysuit", "bra", "cape", "cardigan", "coat", "dress", "gloves", "hoodie"),
        *("intimate", "jacket", "jeans", "jumper", "leggings", "panties", "pants", "romper", "scarf", "shirt"),
        *("shorts", "skirt", "socks", "stockings", "suit", "sweater", "sweatshirt", "swimwear", "t-shirt", "tie"),
        *("tights", "top", "vest"),
    ),
    "upper clothes": (
        *("blazer", "blouse", "cape", "cardigan", "coat", "hoodie", "jacket", "jumper", "shirt", "suit", "sweater"),
        *("sweatshirt", "t-shirt", "top", "vest"),
    ),
    "lower clothes": ("jeans", "leggings", "pants", "shorts", "skirt"),
    "outerwear": ("blazer", "cape", "cardigan", "coat", "jacket", "suit"),
    "dress or skirt": ("dress", "skirt"),
    "shoes": (*("boots", "clogs", "flats", "heels", "loafers", "pumps", "sandals", "shoes", "sneakers", "wedges"),),
    "legwear": ("leggings", "socks", "stockings"),
}
# One label per prompt, except if the annotators used several names for one thing, or one name for another thing.
CLASSES: dict[str, tuple[str, ...]] = {
    "skin": ("skin",),
    "hair": ("hair",),
    "bag": ("bag", "purse", "wallet"),
    "pants": ("jeans", "pants"),
    "jeans": ("jeans",),
    "leggings": ("leggings",),
    "tights": ("stockings",),  # the label "tights" was mostly given to tight tops
    "socks": ("socks",),
    "shorts": ("shorts",),
    "skirt": ("skirt",),
    "dress": ("dress",),
    "romper": ("romper",),
    "suit jacket": ("suit",),  # annotators meant the jacket
    "coat": ("coat",),
    "jacket": ("jacket",),
    "blazer": ("blazer",),
    "cardigan": ("cardigan",),
    "cape": ("cape",),
    "vest": ("vest",),
    "shirt": ("shirt",),
    "blouse": ("blouse",),
    "top": ("top",),
    "t-shirt": ("t-shirt",),
    "sweater": ("jumper", "sweater"),
    "sweatshirt": ("hoodie", "sweatshirt"),
    "boots": ("boots",),
    "high heels": ("heels", "pumps"),
    "flat shoes": ("flats", "loafers"),
    "sandals": ("sandals",),
    "wedges": ("wedges",),
    "sneakers": ("sneakers",),
    "clogs": ("clogs",),
    "hat": ("hat",),
    "scarf": ("scarf",),
    "belt": ("belt",),
    "gloves": ("gloves",),
    "tie": ("tie",),
    "glasses": ("glasses", "sunglasses"),
    "sunglasses": ("sunglasses",),
    "underwear": ("bra", "intimate", "panties"),
    "swimsuit": ("swimwear",),
    "bodysuit": ("bodysuit",),
    "necklace": ("necklace",),
    "bracelet": ("bracelet",),
    "watch": ("watch",),
    "accessories": ("accessories",),
}
ALIASES: dict[str, tuple[str, ...]] = {
    "person": ("woman or man in the photo", "human"),
    "clothes": ("clothing", "garments"),
    "shoes": ("footwear",),
    "bag": ("handbag", "purse"),
    "pants": ("trousers",),
    "tights": ("stockings",),
    "sweater": ("jumper", "pullover"),
    "sweatshirt": ("hoodie",),
    "high heels": ("heels", "pumps"),
    "flat shoes": ("flats", "loafers"),
    "t-shirt": ("tee",),
    "upper clothes": ("tops",),
    "lower clothes": ("bottoms",),
    "glasses": ("eyewear",),
}

# Where the centre of a garment can lie on a body, from the head (0) to the feet (1). Elsewhere the label is wrong
# ("jeans" on a denim jacket), so the prompts that use it are left out.
PLAUSIBLE_HEIGHTS: dict[str, tuple[float, float]] = {
    "cape": (0.20, 0.60),
    "jeans": (0.51, 1.00),
    "romper": (0.30, 0.65),
    "skirt": (0.40, 0.80),
    "stockings": (0.50, 1.00),
    "suit": (0.20, 0.45),
    "tights": (0.60, 1.00),
    "vest": (0.20, 0.60),
}
DOUBTFUL_GROUPS = ("upper clothes", "lower clothes", "outerwear", "legwear")

# Words on which all annotators agree, so they hold for several people at once. Finer names differ: one annotator's
# coat is another annotator's jacket.
CLEAN = ("person", "clothes", "hair", "skin", "shoes")

# Words that people use, for things that at least 40 per cent of the photographs show; from head to feet.
COMMON = ("hair", "skin", "clothes", "upper clothes", "lower clothes", "pants", "shoes")


def prompt_labels(names: list[str]) -> dict[str, dict]:
    """The prompts for a list of label names, in the form of ``prompts.json``. The position of a name is its id.

    Returns prompt -> {"labels": ids, "kind": "group", "class" or "merged"}.
    """
    ids = {name: number for number, name in enumerate(names)}
    found = {}
    for table, group in ((GROUPS, True), (CLASSES, False)):
        for word, members in table.items():
            labels = sorted(ids[name] for name in (members or [name for name in names if name != NULL]))
            kind = "group" if group else "class" if len(labels) == 1 else "merged"
            found[SEMANTIC + word] = {"labels": labels, "kind": kind}
    return found


def words() -> list[str]:
    """Every word of the prompts and their aliases, sorted."""
    texts = [*GROUPS, *CLASSES, *(alias for aliases in ALIASES.values() for alias in aliases)]
    return sorted({word for text in texts for word in text.split()})

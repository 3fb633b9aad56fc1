"""What is asked of the photographs: prompts over the data set's label names, other wordings, and what to doubt."""

from __future__ import annotations

SEMANTIC = "[semantic] "
NULL = "null"
SMALLEST_SHARE = 0.003  # of the picture; what is smaller is no target

PERSON, CLOTHES = SEMANTIC + "person", SEMANTIC + "clothes"

# Everything a person wears and carries makes the person; None stands for all labels but "null".
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
# One label a prompt unless the annotators used several names for one thing, or one name for another.
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

# Where on a body a garment's centre can lie, from the head (0) to the feet (1). Outside of it the label is another
# garment's ("jeans" on a denim jacket), and what rests on it is not asked.
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

# Wordings that are true of several people at once whoever annotated them; a garment's finer name is not: one
# annotator's coat is another's jacket.
CLEAN = ("person", "clothes", "hair", "skin", "shoes")

# Of what at least four in ten of the photographs show of a person, the words that people use; from head to feet.
COMMON = ("hair", "skin", "clothes", "upper clothes", "lower clothes", "pants", "shoes")


def prompt_labels(names: list[str]) -> dict[str, dict]:
    """The prompts over a list of label names (the position is the id), as ``prompts.json`` keeps them.

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
    phrases = [*GROUPS, *CLASSES, *(alias for aliases in ALIASES.values() for alias in aliases)]
    return sorted({word for phrase in phrases for word in phrase.split()})

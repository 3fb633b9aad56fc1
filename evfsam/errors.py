"""The errors a user may meet. Each message is one clear sentence that says what to do next."""


class EvfSamError(Exception):
    """Anything that went wrong for a reason the user can act on."""


class InputError(EvfSamError):
    """An image, a prompt, a number or a file from the user that cannot be used."""


class CheckpointError(EvfSamError):
    """A checkpoint that is unknown, missing, damaged, unsafe or of another layout."""


class VideoError(EvfSamError):
    """A video that cannot be read, tracked or written."""

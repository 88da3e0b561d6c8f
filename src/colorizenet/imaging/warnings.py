"""What a result loses of its photo, as lines for a person."""

from colorizenet.imaging.imagefile import ImageFile
from colorizenet.imaging.metadata import count_dropped_tags, name_dropped_metadata
from colorizenet.imaging.notices import Notice

__all__ = ["list_losses"]


def list_losses(
    file: ImageFile, format: str, *, colored: bool, note: str, advice: str = ""
) -> list[Notice]:
    """List what a result in ``format``, a key of ``FORMATS``, loses of a photo.

    Each loss is a line that begins with the name of the file, whose pixels must have
    been read. ``colored`` says that the photo is already in color (see
    ``toning.is_colored``), and ``advice`` what to do about that. ``note`` is the note
    that the result carries.
    """
    losses = []
    if colored:
        rest = f"; {advice}" if advice else ""
        text = f"{file.name} is already in color, and its colors are replaced{rest}"
        losses.append(Notice(text, "already-colored"))
    if file.bilevel:
        text = f"{file.name} has only black and white pixels, which take no color; scan it in gray"
        losses.append(Notice(text, "bilevel"))
    dropped = name_dropped_metadata(file.metadata, format, note=note)
    if dropped:
        text = f"{file.name} has {dropped}, which {format} does not hold and is left out"
        losses.append(Notice(text, "metadata-unsupported", metadata=dropped, format=format))
    count = count_dropped_tags(file.metadata, format, note=note)
    if count:
        tags = "tag is" if count == 1 else f"{count} tags are"
        text = f"{file.name} has more EXIF than {format} holds, and its longest {tags} left out"
        losses.append(Notice(text, "exif-too-long", tags=count, format=format))
    return losses

"""The encoders of open_clip, read and run without open_clip where that is possible: in a second instead of fifteen.

Names, configurations, weights files and vectors are open_clip's own.  What this room does not know goes the long way,
through the library.
"""

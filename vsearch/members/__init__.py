"""Pictures inside other files: which names are archives, what lies in them, and how a part of one is read.

An archive's table of contents is read in the caller's process, by parsers written in Python; the bytes of a member are
read, unpacked and decoded in the decode room's workers.
"""

"""Harnesses that try to make the store lose something, each with planted defects that it must catch.

=============  =====================================================================================
``model``      what the store must hold after each operation, and the check of a reopened index
``kills``      kill -9 at a random moment of an operation
``powerloss``  every state that a disk could be in after a power cut, from recorded system calls
``faults``     an error or a short write at every call that changes a file
``readers``    processes that search while another adds, deletes, compacts and swaps generations
=============  =====================================================================================

``training`` kills a trainer.  ``moves`` is what ``dups --apply`` and ``--undo`` do with picture folders, which
``move_kills``, ``move_faults`` and ``move_powerloss`` try in the same three ways.

``mutants`` and ``move_defects`` hold the planted defects.  ``tools/torture.py`` runs the long form.
"""

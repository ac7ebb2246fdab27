"""An index inside other libraries, as they want it: ``vsearch.adapters.langchain``, ``vsearch.adapters.llamaindex``."""

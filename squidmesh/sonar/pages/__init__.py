"""The pages, a module a subject. Each reads by the mesh's own verbs, and decides nothing."""

"""What the folders of an index hold, how that differs from what the index knows, and the plan that follows from it.

One way forward: `index_state` reads what the index knows, `walk_rules` settles what is left out, `file_listing` lists
the files, `file_comparison` compares them, and `folder_scan` calls these in turn. `moved_files` then finds out which of
the files that differ have only been moved, copied or touched, and `plan` says what there is to do. The kinds of what
may have become of a file are in `changes`.
"""

std = "lua54"
max_line_length = 120
include_files = {"**/*.lua", "*.rockspec"}
exclude_files = {"build"}
files["spec"] = {std = "+busted"}
files["*.rockspec"] = {std = "rockspec"}
-- annotations, never run; a field of theirs cannot be wrapped
files["lua/finetune/meta*.lua"] = {max_line_length = false, ignore = {"111", "112", "113", "211", "212", "241"}}

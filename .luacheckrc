std = "lua54"
max_line_length = 120
include_files = {"**/*.lua", "*.rockspec"}
exclude_files = {"build"}
files["spec"] = {std = "+busted"}
files["*.rockspec"] = {std = "rockspec"}
files["lua/finetune/meta.lua"] = {ignore = {"111", "112", "113", "211", "212", "241"}} -- annotations, never run

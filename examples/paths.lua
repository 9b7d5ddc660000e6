-- Lets an example run in a clone of the repo, from any folder. Where finetune is installed,
-- `require "finetune"` is all that a script needs.
local root = ((arg and arg[0] or ""):match "^(.*)/[^/]*$" or ".") .. "/../"
package.path = ("%slua/?.lua;%slua/?/init.lua;%s?.lua;"):format(root, root, root) .. package.path
package.cpath = root .. "lua/?.so;" .. package.cpath
return root

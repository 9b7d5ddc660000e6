-- output.lua: standard output. A full disk is an error, and a reader who has gone an end.

local errors = require "finetune.cli.errors"

local M = {}

local EPIPE = 32

local function must(ok, words, code)
  if ok then return end
  error(errors.new {kind = "output", message = "the output could not be written: " .. words, closed = code == EPIPE}, 0)
end

-- Bytes as they are
function M.write(s) must(io.stdout:write(s)) end

function M.flush() must(io.stdout:flush()) end

return M

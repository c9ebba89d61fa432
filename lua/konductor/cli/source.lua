--- Where the text of a script comes from: a file, standard input, or this program.

local core = require "konductor.core"
local script = require "konductor.script"
local text = require "konductor.text"

local M = {}

---@class konductor.Source
---@field text string
---@field chunkname string  as loadstring wants it
---@field dir? string       of the file

---@param name string   of the command line
---@return konductor.Source? source
---@return string? sentence
function M.read(name)
  if name:sub(1, 1) == "@" then
    local built_in = core.embedded(name:sub(2))
    if built_in then
      return { text = built_in, chunkname = "=" .. name }
    end
    local list = core.embedded_list()
    table.sort(list)
    local nearest = text.nearest(name:sub(2), list)
    return nil, ("there is no built-in script %s; %s"):format(name,
      nearest and ("did you mean @%s?"):format(nearest) or "there are @" .. table.concat(list, ", @"))
  end
  local found, _, detail = core.read_file(name)
  if not found then
    return nil, detail
  elseif name == "-" then
    return { text = found, chunkname = "=stdin" }
  end
  return { text = found, chunkname = "@" .. name, dir = name:match("^(.*)/[^/]*$") or "." }
end

--- Loads a script to see what it declares; nothing of it is run, and its mistakes are told.
---@param context konductor.ScriptContext
---@param found konductor.Source
---@return konductor.Program?
---@return integer? exit_code
function M.look(context, found)
  context.planning, context.chunkname, context.dir = true, found.chunkname, found.dir
  local loaded = script.load(context, found.text)
  if loaded.mistakes then
    core.write(2, table.concat(loaded.mistakes, "\n") .. "\n")
    return nil, core.exit_code "script"
  end
  return loaded.program
end

return M

--- What a compiled chunk refers to, found without running it: unknown globals, and the fields
--- that it reads by name.
---
--- Reads the bytecode of the chunk and of every function in it. A misspelt name inside a
--- stage function would otherwise come to light in the middle of a migration.

local bit = require "bit"
local util = require "jit.util"

local band, rshift = bit.band, bit.rshift

local M = {}

-- Opcode numbers differ between builds of LuaJIT; two known chunks tell them.
local GET = band(util.funcbc(assert(loadstring "return probe"), 1), 0xff)
local SET = band(util.funcbc(assert(loadstring "probe = 1"), 2), 0xff)
local FIELD = band(util.funcbc(assert(loadstring "return probe.field"), 2), 0xff)

local function name_at(proto, instruction)
  return util.funck(proto, -rshift(instruction, 16) - 1)
end

---@param proto any       function or prototype
---@param is_main boolean
---@param found { name: string, line: integer, set: boolean, main: boolean }[]
---@param fields table<string, boolean>
local function walk(proto, is_main, found, fields)
  local pc = 1
  local instruction = util.funcbc(proto, pc)
  while instruction do
    local op = band(instruction, 0xff)
    if op == GET or op == SET then
      local line = util.funcinfo(proto, pc).currentline
      found[#found + 1] = { name = name_at(proto, instruction), line = line, set = op == SET, main = is_main }
    elseif op == FIELD then
      fields[util.funck(proto, -band(rshift(instruction, 16), 0xff) - 1)] = true
    end
    pc = pc + 1
    instruction = util.funcbc(proto, pc)
  end
  local i = -1
  local constant = util.funck(proto, i)
  while constant ~= nil do
    if type(constant) == "proto" then
      walk(constant, false, found, fields)
    end
    i = i - 1
    constant = util.funck(proto, i)
  end
end

--- Every use of a global that is neither known nor assigned at the chunk's own level,
--- ordered by line, and the names that the chunk assigns there.
---@param chunk function
---@param known fun(name: string): boolean
---@return { name: string, line: integer, set: boolean }[] unknown
---@return table<string, boolean> assigned
---@return table<string, boolean> fields  every NAME in VALUE.NAME that is read
function M.unknown(chunk, known)
  local found, assigned, unknown, seen, fields = {}, {}, {}, {}, {}
  walk(chunk, true, found, fields)
  for _, use in ipairs(found) do
    if use.set and use.main then
      assigned[use.name] = true
    end
  end
  for _, use in ipairs(found) do
    local key = use.name .. ":" .. use.line
    if not assigned[use.name] and not seen[key] and (use.set or not known(use.name)) then
      seen[key] = true
      unknown[#unknown + 1] = use
    end
  end
  table.sort(unknown, function(a, b)
    if a.line ~= b.line then
      return a.line < b.line
    end
    return a.name < b.name
  end)
  return unknown, assigned, fields
end

return M

--- What `status` and `list` of every kind have in common.

local colour = require "koncli.colour"
local executor = require "koncli.executor"
local object = require "koncli.object"
local record = require "konductor.record"

local M = {}

--- Per kind: the checked view, what only the store can tell, the lines of a sheet, the columns and a row of a list.
local FORMS = {
  Once = {
    view = record.once, look = executor.look, lines = object.once_lines, columns = object.ONCE_COLUMNS,
    row = object.once_row,
  },
  Lease = { view = record.lease, lines = object.lease_lines, columns = object.LEASE_COLUMNS, row = object.lease_row },
}

--- Shows the object that is named.
---@param command koncli.Command
---@return integer exit_code
function M.status(command)
  local form, output = FORMS[command.kind], command.options.output
  local rec, word, sentence = command:get()
  if not rec then
    return command:fail(word, sentence)
  elseif output ~= "text" then
    return command:answer_object(rec)
  end
  local view
  view, word, sentence = form.view(rec)
  if not view then
    return command:fail(word, sentence)
  elseif form.look then
    form.look(command.world, view)
  end
  return command:answer(object.sheet(("%s %s"):format(rec.kind, rec.name), form.lines(rec, view),
    colour.painter()))
end

local MEND = "%s; mend the object or delete it by hand"

--- What is wrong with each record that cannot be read, by its place; nil when there is none.
local function damages(command, records)
  local found
  for i, rec in ipairs(records) do
    local view, _, sentence = FORMS[command.kind].view(rec)
    if not view then
      found = found or {}
      found[i] = sentence
    end
  end
  return found
end

local function json_list(command, records, damaged)
  local items = {}
  for i, rec in ipairs(records) do
    items[i] = object.api(rec, command.namespace)
    items[i].damage = damaged[i]
  end
  return command:answer_json {
    apiVersion = object.API_VERSION, kind = command.kind .. "List", metadata = {}, items = command:json_list(items),
  }
end

local function name_list(command, records)
  local lines = {}
  for i, rec in ipairs(records) do
    lines[i] = object.full_name(rec) .. "\n"
  end
  return command:answer(table.concat(lines))
end

local function damaged_row(form, rec)
  local row = { rec.name, "Damaged" }
  for i = 3, #form.columns do
    row[i] = ""
  end
  return row
end

local function text_list(command, records, damaged)
  local form, rows = FORMS[command.kind], {}
  for i, rec in ipairs(records) do
    rows[i] = damaged[i] and damaged_row(form, rec) or form.row(rec, form.view(rec))
  end
  if #rows == 0 then
    command:remark(("no %ss in namespace %s"):format(command.kind:lower(), command.namespace))
    return 0
  end
  return command:answer(object.grid(form.columns, rows, colour.painter()))
end

local LISTS = { json = json_list, yaml = json_list, name = name_list }

--- Shows all objects of a kind. One that is damaged hides no other, and is told of after them.
---@param command koncli.Command
---@return integer exit_code
function M.list(command)
  local records, word, sentence = command:list()
  if not records then
    return command:fail(word, sentence)
  end
  local damaged = damages(command, records)
  local code = (LISTS[command.options.output] or text_list)(command, records, damaged or {})
  for i = 1, damaged and #records or 0 do
    if damaged[i] then
      code = command:fail("corrupt", MEND:format(damaged[i]))
    end
  end
  return code
end

return M

--- What `status` and `list` of every kind have in common.

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
  elseif output == "json" then
    return command:answer_json(object.api(rec, command.namespace))
  elseif output == "name" then
    return command:answer(object.full_name(rec) .. "\n")
  end
  local view
  view, word, sentence = form.view(rec)
  if not view then
    return command:fail(word, sentence)
  elseif form.look then
    form.look(command.world, view)
  end
  return command:answer(object.sheet(("%s %s"):format(rec.kind, rec.name), form.lines(rec, view)))
end

local function json_list(command, records)
  local items = {}
  for i, rec in ipairs(records) do
    items[i] = object.api(rec, command.namespace)
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

-- One damaged record must not hide the others.
local function text_list(command, records)
  local form, rows, damaged = FORMS[command.kind], {}, nil
  for _, rec in ipairs(records) do
    local view, word, sentence = form.view(rec)
    if view then
      rows[#rows + 1] = form.row(rec, view)
    else
      damaged = command:fail(word, sentence)
    end
  end
  if #records == 0 then
    command:remark(("no %ss in namespace %s"):format(command.kind:lower(), command.namespace))
  elseif #rows > 0 then
    local code = command:answer(object.grid(form.columns, rows))
    return damaged or code
  end
  return damaged or 0
end

--- Shows all objects of a kind.
---@param command koncli.Command
---@return integer exit_code
function M.list(command)
  local records, word, sentence = command:list()
  if not records then
    return command:fail(word, sentence)
  elseif command.options.output == "json" then
    return json_list(command, records)
  elseif command.options.output == "name" then
    return name_list(command, records)
  end
  return text_list(command, records)
end

return M

--- `koncli once reset NAME`: lets a version run again.

local once = require "konductor.once"
local record = require "konductor.record"
local text = require "konductor.text"

local M = {
  summary = "Lets work run again that has been executed or has failed for good.",
  names = true,
  examples = [[
  koncli once reset shop.migrate                 after the cause of the failure is mended
  koncli once reset shop.migrate --version v2    that version only]],
}

function M.describe(parser)
  parser:option("--version"):argname("VERSION"):description("Default: the one claimed last.")
end

local function known_versions(view)
  local list = { view.version }
  for _, entries in ipairs { view.history, view.tried } do
    for i = #entries, 1, -1 do
      list[#list + 1] = entries[i].version
    end
  end
  return list
end

-- A version that the record does not know is a slip of the pen: nothing would be reset.
local function unknown_version(view, version)
  local list = known_versions(view)
  for _, known in ipairs(list) do
    if known == version then
      return nil
    end
  end
  local nearest = text.nearest(version, list)
  return ("there is no trace of version %s; %s"):format(text.quote(version),
    nearest and nearest ~= "" and ("did you mean %s?"):format(text.quote(nearest))
    or "it knows " .. text.quote(table.concat(list, ", ")))
end

function M.run(command, options)
  local version
  local rec, word, sentence = command:change(function(rec)
    local view, code, why = record.once(rec)
    if not view then
      return nil, code, why
    elseif view.claimed then
      return nil, "claimed", ("it is claimed by %s, fence %.0f; %s"):format(view.executor, view.fence, view.doubt
        and ("find out whether it ran: koncli once resolve %s --ran or --not-run"):format(options.name)
        or "reset it when that has ended")
    end
    version = options.version or view.version
    why = unknown_version(view, version)
    if why then
      return nil, "absent", why
    end
    return once.reset(rec, { op = command.world.nonce(), wall = command.world.wall(), version = options.version })
  end)
  if not rec then
    return command:fail(word, sentence)
  end
  return command:answer_change(rec, ("Once %s reset%s: the next replica that comes runs it"):format(
    text.quote(options.name), version ~= "" and ", version " .. version or ""))
end

return M

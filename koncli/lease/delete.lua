--- `koncli lease delete NAME`: removes the object.

local options_of = require "koncli.options"
local record = require "konductor.record"
local text = require "konductor.text"

local M = {
  summary = "Deletes a Lease; tokens go on to grow when it is made again.",
  names = true,
  formats = { "text", "name" },
  examples = [[
  koncli lease delete singleton-job
  koncli lease delete singleton-job --force    also while it is held; what runs under it notices and stops]],
}

function M.describe(parser)
  options_of.force(parser, "Also when it is held, or damaged.")
end

function M.run(command, options)
  local loser
  local rec, word, sentence = command:delete(function(rec)
    local view, code, why = record.lease(rec)
    if options.force then
      loser = view and view.holder ~= "" and text.quote(view.holder) or nil
      return true
    elseif not view then
      return nil, code, why .. "; --force deletes it all the same"
    elseif view.holder ~= "" then
      return nil, "claimed", ("it is held by %s, fence %.0f; --force deletes it all the same"):format(
        text.quote(view.holder), view.fence)
    end
    return true
  end)
  if not rec then
    return command:fail(word, sentence)
  end
  return command:answer_change(rec, ("Lease %s deleted%s"):format(text.quote(options.name),
    loser and "; it was held by " .. loser or ""))
end

return M

--- `koncli once delete NAME`: removes the record with all that it remembers.

local record = require "konductor.record"
local text = require "konductor.text"

local M = {
  summary = "Deletes a Once: no version of it counts as executed any more.",
  names = true,
  formats = { "text", "name" },
  examples = [[
  koncli once delete app-init
  koncli once delete app-init --force    also while a replica runs it; that replica
                                         stops its work, and may begin it again]],
}

function M.describe(parser)
  parser:flag("--force"):description("Also when it is claimed, or damaged.")
end

function M.run(command, options)
  local loser
  local rec, word, sentence = command:delete(function(rec)
    local view, code, why = record.once(rec)
    if options.force then
      loser = view and view.claimed and view.executor or nil
      return true
    elseif not view then
      return nil, code, why .. "; --force deletes it all the same"
    elseif view.claimed then
      return nil, "claimed", ("it is claimed by %s, fence %.0f; --force takes it away"):format(
        view.executor, view.fence)
    end
    return true
  end)
  if not rec then
    return command:fail(word, sentence)
  end
  return command:answer_change(rec, ("Once %s deleted%s"):format(text.quote(options.name),
    loser and ("; taken from %s"):format(loser) or ""))
end

return M

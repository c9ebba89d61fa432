--- `koncli once delete NAME`: removes the record with all that it remembers.

local delete = require "koncli.delete"
local record = require "konductor.record"

return {
  summary = "Deletes a Once: no version of it counts as executed any more.",
  names = true,
  formats = delete.formats,
  describe = delete.describe,
  examples = [[
  koncli once delete app-init
  koncli once delete app-init --force    also while a replica runs it; that replica
                                         stops its work, and may begin it again]],
  run = function(command)
    return delete.run(command, record.once, function(view)
      return view.claimed and view.executor or nil
    end, "claimed by")
  end,
}

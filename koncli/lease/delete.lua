--- `koncli lease delete NAME`: removes the object.

local delete = require "koncli.delete"
local record = require "konductor.record"

return {
  summary = "Deletes a Lease; tokens go on to grow when it is made again.",
  names = true,
  formats = delete.formats,
  describe = delete.describe,
  examples = [[
  koncli lease delete singleton-job
  koncli lease delete singleton-job --force    also while it is held; what runs under it notices and stops]],
  run = function(command)
    return delete.run(command, record.lease, function(view)
      return view.holder ~= "" and view.holder or nil
    end, "held by")
  end,
}

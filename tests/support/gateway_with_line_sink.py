"""The gateway's command line with one more sink."""

from gateway import plugins
from tests.support.line_sink import LineSinkPlugin

plugins.SINKS["lines"] = LineSinkPlugin()

if __name__ == "__main__":
    from gateway.__main__ import main  # settings take their sections from the list when they are imported

    main()

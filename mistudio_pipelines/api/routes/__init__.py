"""The endpoints, one module a topic. They check what is asked, call one function and answer."""

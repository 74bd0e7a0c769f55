//! Starts every part, joins them by queues, stops them in order.

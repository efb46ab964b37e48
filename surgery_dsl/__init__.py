"""Plans for operating on trained neural networks: proved before, transactional while, certified after."""
